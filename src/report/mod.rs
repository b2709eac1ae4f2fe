//! What a run folder says of itself, for people: why a worker got what it got, what has happened, and how it went.
//!
//! Nothing is trained or measured here, and whoever wants to know whether a folder is true asks the audit. What is malformed is
//! passed over and counted: a report is made of what is there.

mod chart;
mod escape;
mod explain;
mod figures;
mod folder;
mod gates;
mod lists;
mod log;
mod model;
mod page;
mod plots;
mod said;
mod scale;
mod status;
mod svg;
mod table;
mod tables;
mod update;

pub use explain::{Explanation, explain};
pub use figures::figures;
pub use folder::{Book, edited};
pub use gates::{Gate, GateState};
pub use lists::RoundLists;
pub use log::Logs;
pub use model::Figures;
pub use page::{drawings, overview, page};
pub use status::{Next, RoundStatus, status};
pub use svg::Drawing;
pub use table::Table;
pub use tables::all as tables;
