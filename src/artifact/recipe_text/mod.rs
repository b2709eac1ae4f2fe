//! Recipes as people write them: everything that is wrong with a text at once, its effective values, and changes to it.

mod faults;
mod fields;
mod places;
mod set;
mod shown;

pub use faults::{Fault, faults};
pub use set::set;
pub use shown::{Difference, Field, differences, effective, fields_of};
