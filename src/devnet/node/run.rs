//! A node's main loop.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lightning::events::{Event, EventsProvider, ReplayEvent};
use lightning::types::payment::PaymentHash;
use lightning::util::ser::Writeable;
use lightning::util::wakers::Future;

use crate::error::{Error, Result};
use crate::layout::{self, Layout, Life};
use crate::network::Network;
use crate::{disk, rpc};

use super::holds::MPP_TIMEOUT;
use super::wake::Bell;
use super::{Node, blocks, connect};

/// Between looks at the clock, when nothing rings.
const IDLE: Duration = Duration::from_secs(2);
/// Between pings.
const PING: Duration = Duration::from_secs(10);
/// Looks at which announced channels may be unknown before peers are asked again.
const LOOKS: u32 = 3;
/// Between LDK's own housekeeping.
const HOUSEKEEPING: Duration = Duration::from_secs(60);

/// Runs the node `name` of a network until it is told to stop, or its folder is gone.
pub fn run(root: &Path, name: &str) -> Result<()> {
    let layout = Layout::new(root);
    let network = Network::load(&layout)?.ok_or_else(|| Error::missing(format!("{}: no network", root.display())))?;
    let folder = layout.node(name);
    let Some(_life) = Life::begin(&folder)? else { return Ok(()) };
    let node = Arc::new(Node::assemble(&layout, network, name)?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Error::io("the runtime", &e))?;
    let mut turn = Turn::new(&node)?;
    // What is known from before comes first: nobody is answered from rows that are out of date.
    turn.work()?;
    runtime.block_on(connect::start(&node))?;
    runtime.block_on(rpc::start(&node, &layout.rpc_socket(name)))?;
    let follower = Arc::clone(&node);
    std::thread::spawn(move || blocks::follow(&follower));
    while !node.stopping.load(Ordering::Acquire) && turn.still_wanted() {
        turn.work()?;
        turn.wait();
    }
    turn.work()?;
    turn.save_graph()?;
    runtime.shutdown_timeout(Duration::from_millis(200));
    Ok(())
}

/// One after the other: everything that the main loop does.
struct Turn<'a> {
    node: &'a Arc<Node>,
    ring_manager: Ring,
    ring_monitors: Ring,
    /// Held HTLCs whose row says `paid`, and when they are given back.
    give_back: Option<(Instant, Vec<PaymentHash>)>,
    pinged: Instant,
    kept: Instant,
    looked: Instant,
    known: usize,
    /// Looks in a row at which announced channels were unknown, and became no fewer.
    unknown_looks: u32,
}

impl Turn<'_> {
    fn new(node: &Arc<Node>) -> Result<Turn<'_>> {
        node.fund_again()?;
        node.reconcile_payments()?;
        let paid = node.reconcile_holds()?;
        let now = Instant::now();
        // What is known now was read from the disk.
        node.graph_saved.store(node.known_channels(), Ordering::Release);
        let mut ring_manager = Ring::default();
        ring_manager.renew(&node.bell, || node.manager.get_event_or_persistence_needed_future());
        let mut ring_monitors = Ring::default();
        ring_monitors.renew(&node.bell, || node.monitors.get_update_future());
        Ok(Turn {
            node,
            ring_manager,
            ring_monitors,
            give_back: (!paid.is_empty()).then_some((now + MPP_TIMEOUT, paid)),
            pinged: now,
            kept: now,
            looked: now,
            known: 0,
            unknown_looks: 0,
        })
    }

    /// Does all there is to do, and writes what changed.
    fn work(&mut self) -> Result<()> {
        let node = self.node;
        loop {
            let height = node.manager.current_best_block().height;
            node.open_channels();
            self.events()?;
            if node.manager.needs_pending_htlc_processing() {
                node.manager.process_pending_htlc_forwards();
                self.events()?;
            }
            node.peers.process_events();
            let wrote = node.store.persist(&node.manager, &node.monitors, &node.queue)?;
            if node.height.swap(height, Ordering::AcqRel) != height {
                node.changed.notify_waiters();
            }
            if !wrote {
                break;
            }
        }
        node.cancel_failed()?;
        if node.unsaved_channels().is_some() && node.known_channels() == node.announced_channels() {
            self.save_graph()?;
        }
        self.clock()
    }

    fn events(&self) -> Result<()> {
        let mut result = Ok(());
        let handled = std::cell::RefCell::new(&mut result);
        let handle = |event: Event| -> std::result::Result<(), ReplayEvent> {
            self.node.handle(event).map_err(|error| {
                **handled.borrow_mut() = Err(error);
                ReplayEvent()
            })
        };
        self.node.manager.process_pending_events(&handle);
        self.node.monitors.process_pending_events(&handle);
        result
    }

    /// What the time of day asks for.
    fn clock(&mut self) -> Result<()> {
        let (node, now) = (self.node, Instant::now());
        if let Some((_, hashes)) = self.give_back.take_if(|(at, _)| *at <= now) {
            hashes.iter().for_each(|hash| node.manager.fail_htlc_backwards(hash));
        }
        if now - self.pinged >= PING {
            self.pinged = now;
            node.peers.timer_tick_occurred();
        }
        if now - self.kept >= HOUSEKEEPING {
            self.kept = now;
            node.monitors.rebroadcast_pending_claims();
            // A tick without its peers would have LDK announce channels as disabled, and a while after as enabled.
            if node.manager.list_channels().iter().all(|c| c.is_usable) {
                node.manager.timer_tick_occurred();
            }
        }
        if now - self.looked >= IDLE {
            self.looked = now;
            self.save_graph()?;
            self.ask_again();
        }
        Ok(())
    }

    /// What is known lasts: a peer does not always tell it again.
    fn save_graph(&mut self) -> Result<()> {
        let node = self.node;
        let known = node.known_channels();
        if known != node.graph_saved.load(Ordering::Acquire) {
            disk::replace(&node.folder.join("graph"), &node.graph.encode())?;
            node.graph_saved.store(known, Ordering::Release);
            node.changed.notify_waiters();
        }
        Ok(())
    }

    /// Announcements that came too early or not at all come again with a new connection.
    fn ask_again(&mut self) {
        let usable = || self.node.manager.list_channels().iter().all(|c| c.is_usable && c.confirmations >= Some(6));
        let known = self.node.known_channels();
        let stuck = known == self.known && self.node.unsaved_channels().is_some() && usable();
        self.known = known;
        self.unknown_looks = if stuck { self.unknown_looks + 1 } else { 0 };
        if self.unknown_looks >= LOOKS {
            self.unknown_looks = 0;
            self.node.log.note("announced channels are unknown: connecting again");
            self.node.peers.disconnect_all_peers();
        }
    }

    fn still_wanted(&self) -> bool {
        layout::still_mine(&self.node.folder)
    }

    fn wait(&mut self) {
        let node = self.node;
        self.ring_manager.renew(&node.bell, || node.manager.get_event_or_persistence_needed_future());
        self.ring_monitors.renew(&node.bell, || node.monitors.get_update_future());
        let most = self.give_back.as_ref().map_or(IDLE, |(at, _)| at.saturating_duration_since(Instant::now()));
        node.bell.wait(most.min(IDLE));
    }
}

/// One of LDK's futures, tied to the bell until it is over; then the next.
#[derive(Default)]
struct Ring {
    pending: Arc<AtomicBool>,
}

impl Ring {
    fn renew(&mut self, bell: &Arc<Bell>, next: impl FnOnce() -> Future) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            let (bell, pending) = (Arc::clone(bell), Arc::clone(&self.pending));
            next().register_callback(Box::new(move || {
                pending.store(false, Ordering::Release);
                bell.ring();
            }));
        }
    }
}
