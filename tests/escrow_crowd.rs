//! A hundred workers, four rungs and one channel each.

mod common;

use common::crowd::Crowd;

#[test]
fn a_hundred_workers_are_locked_and_settled_in_one_call_each_and_it_adds_up() {
    let (crowd, _) = Crowd::gather(100);
    crowd.play();
}
