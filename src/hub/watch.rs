//! Who looks on while a pull goes.

/// Hears how far a pull is.
pub trait Watch {
    /// So many bytes of all that were asked for are here.
    fn at(&self, bytes: u64);
    /// Something that takes time, or was done again, and why.
    fn note(&self, text: &str);
}
