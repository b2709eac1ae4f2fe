//! How far an offer is.

/// How far an offer is, to the party that looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// As far as it goes for now.
    Done,
    /// Something is missing.
    Waiting(String),
    /// It came to nothing.
    Failed(String),
}
