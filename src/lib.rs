//! nearcopy
