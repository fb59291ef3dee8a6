//! How much of a message is accepted.

/// Bounds on what a message may ask of memory, checked before anything is built from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest body accepted, in bytes.
    pub body: usize,
    /// The deepest nesting of a stored value.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body: 1 << 20, depth: 64 }
    }
}
