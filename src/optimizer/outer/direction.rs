//! What a rule makes of the updates.

/// What a rule makes of the updates.
#[derive(Clone, Debug, PartialEq)]
pub struct Direction {
    /// What theta moves against, by the layout.
    pub values: Vec<f32>,
    /// How many faulty updates it withstands, where the rule says so: fewer than the recipe asks for where there are too few
    /// updates.
    pub faulty: Option<usize>,
    /// The updates that it is the mean of, ascending, where the rule chooses some.
    pub chosen: Option<Vec<usize>>,
}

impl Direction {
    /// What a rule makes that chooses none and says nothing of faulty ones.
    pub fn plain(values: Vec<f32>) -> Direction {
        Direction { values, faulty: None, chosen: None }
    }
}
