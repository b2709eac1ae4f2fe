"""What `l402 attest` prints, read by in-toto's own library, strictly: `schema.py L402`.

The library's messages of the statement and its subjects are the published ones; that of the predicate, which its last release has
not, is put together here as `protos/in_toto_attestation/predicates/svr/v0.1/svr.proto` of github.com/in-toto/attestation has it.
"""

import copy
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, json_format, message_factory, timestamp_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

SVR = "https://in-toto.io/attestation/svr/v0.1"


def predicate_message():
    """SimpleVerificationResult of svr.proto, v0.1."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="svr.proto",
        package="in_toto_attestation.predicates.svr.v0_1",
        syntax="proto3",
        dependency=[timestamp_pb2.DESCRIPTOR.name, any_pb2.DESCRIPTOR.name],
    )
    result = file.message_type.add(name="SimpleVerificationResult")
    verifier = result.nested_type.add(name="Verifier")
    verifier.field.add(name="id", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    verifier.field.add(
        name="policy", number=2, type=field.TYPE_MESSAGE, type_name=".google.protobuf.Any", label=field.LABEL_OPTIONAL
    )
    of = f".{file.package}.SimpleVerificationResult.Verifier"
    result.field.add(name="verifier", number=1, type=field.TYPE_MESSAGE, type_name=of, label=field.LABEL_OPTIONAL)
    result.field.add(
        name="time_created",
        json_name="timeCreated",
        number=2,
        type=field.TYPE_MESSAGE,
        type_name=".google.protobuf.Timestamp",
        label=field.LABEL_OPTIONAL,
    )
    result.field.add(name="properties", number=3, type=field.TYPE_STRING, label=field.LABEL_REPEATED)
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.SimpleVerificationResult"))


def check(text, message):
    """Raises where the text is no statement with this predicate, or has a field that is none of theirs."""
    parsed = json_format.Parse(text, statement_pb2.Statement())
    statement = Statement.copy_from_pb(parsed)
    statement.validate()
    assert parsed.predicate_type == SVR, parsed.predicate_type
    predicate = json_format.Parse(json.dumps(json.loads(text)["predicate"]), message())
    assert predicate.verifier.id and predicate.HasField("time_created") and predicate.properties, predicate
    return predicate


def main(l402):
    message = predicate_message()
    finding = {"finding": "exact", "round": 3, "run": "ab" * 32, "steps": 30, "type": "finding", "v": 1, "worker": "alice"}
    with tempfile.TemporaryDirectory() as folder:
        update, path = Path(folder, "alice.update"), Path(folder, "alice.finding")
        # BLAKE3 of nothing.
        update.write_bytes(b"")
        finding["update"] = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        path.write_text(json.dumps(finding, sort_keys=True, separators=(",", ":")) + "\n")
        command = [l402, "attest", path, "--verifier", "https://example.org/v1", "--time", "2026-11-29T10:00:00Z"]
        made = subprocess.run([*command, "--subject", update], check=True, capture_output=True, text=True).stdout
    predicate = check(made, message)
    assert list(predicate.properties) == ["L402_REPLAY_EXACT"]
    assert predicate.time_created.ToJsonString() == "2026-11-29T10:00:00Z"

    def refused(bend):
        bad = copy.deepcopy(json.loads(made))
        bend(bad)
        try:
            check(json.dumps(bad), message)
        except (json_format.ParseError, ValueError, AssertionError):
            return
        raise SystemExit(f"passed, and is wrong: {bad}")

    refused(lambda bad: bad.update(_type="https://in-toto.io/Statement/v0.1"))
    refused(lambda bad: bad.update(run="x"))
    refused(lambda bad: bad["subject"].clear())
    refused(lambda bad: bad["subject"][0].update(digest={}))
    refused(lambda bad: bad["predicate"].update(result="PASSED"))
    refused(lambda bad: bad["predicate"]["verifier"].update(version="1"))
    refused(lambda bad: bad["predicate"].update(timeCreated="yesterday"))
    refused(lambda bad: bad["predicate"].update(properties="L402_REPLAY_EXACT"))
    print("in-toto reads what we write")


if __name__ == "__main__":
    main(sys.argv[1])
