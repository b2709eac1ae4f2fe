#!/usr/bin/env python3
"""The devnet as Core Lightning's own Python client sees it.

    tests/pyln/devnet.py L402       (the binary; needs pyln-client, see requirements.txt)

Makes a network of three nodes in a folder of its own, drives it, and takes it down.
"""

import hashlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time

from pyln.client import LightningRpc, RpcError


def wait(what, seconds=20):
    """Asks until the answer is true."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        answer = what()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError("it never came true")


def refused(code, call, *args, **kwargs):
    """A call that must fail with this code."""
    try:
        answer = call(*args, **kwargs)
    except RpcError as error:
        assert error.error["code"] == code, f"expected code {code}, found {error.error}"
        return error.error["message"]
    raise AssertionError(f"expected code {code}, found {answer}")


class Paying(threading.Thread):
    """`xpay` on a connection of its own: it answers when the payment is over."""

    def __init__(self, socket, bolt11):
        super().__init__(daemon=True)
        self.socket, self.bolt11, self.answer, self.error = socket, bolt11, None, None
        self.start()

    def run(self):
        try:
            self.answer = LightningRpc(self.socket).call("xpay", {"invstring": self.bolt11})
        except RpcError as error:
            self.error = error.error

    def over(self):
        self.join(20)
        assert not self.is_alive(), "the payment is not over"
        return self


def balance(node):
    """Msat in the node's channels, and how much is in flight."""
    channels = node.listpeerchannels()["channels"]
    return sum(int(c["to_us_msat"]) for c in channels), sum(len(c["htlcs"]) for c in channels)


def quiet(*nodes):
    """Balances once nothing is in flight."""
    wait(lambda: all(balance(node)[1] == 0 for node in nodes))
    return [balance(node)[0] for node in nodes]


def nodes_and_channels(alice, bob):
    info = alice.getinfo()
    assert info["network"] == "regtest" and info["blockheight"] > 100, info
    assert len(info["id"]) == 66 and info["id"] != bob.getinfo()["id"]
    [channel] = bob.listpeerchannels()["channels"]
    assert channel["peer_id"] == info["id"] and channel["state"] == "CHANNELD_NORMAL", channel
    assert channel["peer_connected"] and channel["htlcs"] == [], channel
    funds = alice.listfunds()
    assert sum(int(c["our_amount_msat"]) for c in funds["channels"]) == balance(alice)[0], funds
    assert "xpay" in json.dumps(alice.help()) and "injectholdinvoice" in json.dumps(alice.help())
    assert alice.waitblockheight(info["blockheight"])["blockheight"] >= info["blockheight"]


def an_ordinary_payment(alice, bob, over):
    before = quiet(alice, bob)
    invoice = bob.invoice(5_000_000, "coffee", "a cup")
    decoded = alice.call("decode", {"string": invoice["bolt11"]})
    assert decoded["type"] == "bolt11 invoice" and decoded["valid"], decoded
    assert int(decoded["amount_msat"]) == 5_000_000 and decoded["description"] == "a cup", decoded
    assert decoded["payee"] == bob.getinfo()["id"] and decoded["payment_hash"] == invoice["payment_hash"], decoded
    paid = over(invoice["bolt11"]).over()
    assert paid.error is None, paid.error
    preimage = bytes.fromhex(paid.answer["payment_preimage"])
    assert hashlib.sha256(preimage).hexdigest() == invoice["payment_hash"], paid.answer
    [row] = alice.listpays(payment_hash=invoice["payment_hash"])["pays"]
    assert row["status"] == "complete" and row["preimage"] == preimage.hex(), row
    [part] = alice.listsendpays(payment_hash=invoice["payment_hash"])["payments"]
    assert part["status"] == "complete", part
    [listed] = bob.listinvoices("coffee")["invoices"]
    assert listed["status"] == "paid" and int(listed["amount_received_msat"]) == 5_000_000, listed
    after = quiet(alice, bob)
    assert (before[0] - after[0], after[1] - before[1]) == (5_000_000, 5_000_000), (before, after)
    refused(900, bob.invoice, 5_000_000, "coffee", "a second cup")


def two_hops(bob, carol, over):
    before = quiet(bob, carol)
    paid = over(carol.invoice(3_000_000, "far", "over the middle")["bolt11"]).over()
    assert paid.error is None, paid.error
    sent = int(paid.answer["amount_sent_msat"])
    assert sent > 3_000_000, paid.answer
    after = quiet(bob, carol)
    assert (before[0] - after[0], after[1] - before[1]) == (sent, 3_000_000), (before, after, sent)


def hold(alice, bob, over, settled):
    """A hold invoice that is held, then settled or cancelled."""
    before = quiet(alice, bob)
    preimage = secrets.token_bytes(32)
    key = hashlib.sha256(preimage).hexdigest()
    bolt11 = bob.call("holdinvoice", {"payment_hash": key, "amount": 7_000_000})["bolt11"]

    def listed():
        [row] = bob.call("listholdinvoices", {"payment_hash": key})["holdinvoices"]
        return row

    assert listed()["state"] == "unpaid" and listed()["invoice"] == bolt11
    assert "no HTLCs to settle" in refused(-32700, bob.call, "settleholdinvoice", {"preimage": preimage.hex()})
    refused(-32700, bob.call, "holdinvoice", {"payment_hash": key, "amount": 7_000_000})
    paying = over(bolt11)
    wait(lambda: listed()["state"] == "accepted")
    assert [h["state"] for h in listed()["htlcs"]] == ["accepted"], listed()
    [row] = alice.listpays(payment_hash=key)["pays"]
    assert row["status"] == "pending", row
    assert balance(alice)[1] == 1 and balance(bob)[1] == 1
    refused(-3, alice.call, "xpay", {"invstring": bolt11})
    if settled:
        assert bob.call("settleholdinvoice", {"preimage": preimage.hex()}) == {}
        assert paying.over().answer["payment_preimage"] == preimage.hex()
        assert bob.call("settleholdinvoice", {"preimage": preimage.hex()}) == {}
        refused(219, alice.call, "xpay", {"invstring": bolt11})
    else:
        assert bob.call("cancelholdinvoice", {"payment_hash": key}) == {}
        assert paying.over().error["code"] == 203, paying.error
        assert "UNIQUE" in refused(-32700, bob.call, "holdinvoice", {"payment_hash": key, "amount": 7_000_000})
    assert listed()["state"] == ("paid" if settled else "cancelled"), listed()
    [row] = alice.listpays(payment_hash=key)["pays"]
    assert row["status"] == ("complete" if settled else "failed"), row
    after = quiet(alice, bob)
    moved = 7_000_000 if settled else 0
    assert (before[0] - after[0], after[1] - before[1]) == (moved, moved), (before, after)


def messages(alice, bob):
    signed = alice.signmessage("l402")
    checked = bob.checkmessage("l402", signed["zbase"], alice.getinfo()["id"])
    assert checked["verified"] and checked["pubkey"] == alice.getinfo()["id"], checked
    assert not bob.checkmessage("another", signed["zbase"], alice.getinfo()["id"])["verified"]


def errors(alice):
    refused(-32601, alice.call, "no-such-method")
    refused(-32602, alice.call, "invoice", {"label": "x"})
    refused(-32602, alice.call, "xpay", {"invstring": "lnbcrt1notaninvoice"})
    refused(-32700, alice.call, "cancelholdinvoice", {"payment_hash": "00" * 32})


def main(l402):
    with tempfile.TemporaryDirectory(prefix="l402-") as folder:
        net = os.path.join(folder, "net")
        try:
            subprocess.run([l402, "devnet", "up", net, "--nodes", "3"], check=True, stdout=subprocess.DEVNULL)
            sockets = [os.path.join(net, name, "lightning-rpc") for name in ("n1", "n2", "n3")]
            alice, bob, carol = map(LightningRpc, sockets)
            nodes_and_channels(alice, bob)
            an_ordinary_payment(alice, bob, lambda bolt11: Paying(sockets[0], bolt11))
            two_hops(bob, carol, lambda bolt11: Paying(sockets[1], bolt11))
            for settled in (True, False):
                hold(alice, bob, lambda bolt11: Paying(sockets[0], bolt11), settled)
            messages(alice, bob)
            errors(alice)
        finally:
            subprocess.run([l402, "devnet", "down", net], check=True)
    print("pyln-client and the devnet understand each other")


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]))
