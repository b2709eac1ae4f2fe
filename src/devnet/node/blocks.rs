//! Blocks from the chain to LDK.

use std::sync::Arc;
use std::time::Duration;

use lightning::chain::Listen;

use crate::chain;

use super::Node;

/// Follows the chain for ever, through its deaths.
pub fn follow(node: &Arc<Node>) {
    loop {
        let next = node.manager.current_best_block().height + 1;
        let _ = chain::follow(&node.chain, next, |block, height, _| {
            // A monitor that was read from disk is at the tip already; the manager may be behind it.
            node.monitors.block_connected(block, height);
            node.manager.block_connected(block, height);
            node.bell.ring();
            true
        });
        std::thread::sleep(Duration::from_millis(50));
    }
}
