//! Verification: the same work again, whole or a drawn part of it, and equality.

mod contradiction;
mod difference;
pub mod dispute;
mod finding;
mod leaves;
mod machine;
mod near;
mod openings;
mod replay;
mod runner;
mod sampled;
mod segments;
pub mod trace;

pub use contradiction::{contradict, of_the_work};
pub use difference::Difference;
pub use finding::{Finding, Sample, StateGiven, Verdict};
pub use leaves::{Leaf, LeafLog, Leaves};
pub use machine::{OperatorCheck, check_machine, require_machine};
pub use near::Nearness;
pub use openings::{
    CHUNKS, ChunkIndex, FEEDBACK, FeedbackOpener, LEAVES, OpenedChunk, OpenedLeaf, chunks_header, open_leaves,
    state_file, states_needed, write_chunks,
};
pub use replay::{
    ReplayInput, States, StatesOut, delta, delta_meta, finish_meta, input_name, malformed_finding, replay, replay_by,
    replay_into, replay_near,
};
pub use runner::{Runner, Straight};
pub use sampled::{Openings, Sampling, replay_sampled, replay_sampled_by};
pub use segments::{Audit, Segments, missed_ppm, missed_segments_ppm, segments_for};
