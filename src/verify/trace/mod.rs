//! The definition's operator graph of an inner step, and traces: the digests of everything that runs through it.
//!
//! A trace says what each operator made; what it read is what an earlier operator made, so two traces of one graph part
//! at an operator whose inputs both agree on, and whoever executes that one alone knows who is wrong.

mod build;
mod execute;
mod file;
mod graph;
mod layer;
mod operands;
mod operator;
mod run;
#[cfg(test)]
mod tests;
mod value;

pub use execute::execute;
pub use file::{OperatorLine, TraceContext, TraceFile, TraceHead};
pub use graph::{Graph, Masked, StepAt};
pub use operands::{OperandsOf, read_operands, write_operands};
pub use operator::{Form, Kind, Operator, ValueId, ValueInfo};
pub use run::{Step, data_of, frozen_digest, operands, trace};
pub use value::{Value, sum_digest, tokens_digest};
