//! Where a value is found inside an event, or a field inside a document.

use std::fmt;
use std::sync::Arc;

/// A dotted path such as `data.address.city`; a dot inside a name is written `\.`.
///
/// The empty path stands for the whole value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldPath(Arc<[String]>);

/// The part of an event that a path begins in, and the path from there.
pub(super) enum Part<'p> {
    /// What the event's type is about.
    Data(FieldPath),
    /// The whole message.
    Body(FieldPath),
    /// An attribute of that name.
    Attribute(&'p str),
}

/// Why a text is no path, and from which byte of it on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Two dots in a row, or one at an end.
    #[error("a name in the path is empty")]
    EmptyName {
        /// Where the name is missing.
        at: usize,
    },
    /// A backslash before something else than a dot or a backslash.
    #[error("`\\` may stand only before `.` or `\\`")]
    BadEscape {
        /// Where the backslash stands.
        at: usize,
    },
    /// NUL cannot be in a name.
    #[error("a name in the path contains NUL")]
    Nul {
        /// Where it stands.
        at: usize,
    },
}

impl<'p> Part<'p> {
    /// The empty path is the whole message.
    pub fn of(path: &'p FieldPath) -> Self {
        match path.split_first() {
            Some(("data", tail)) => Self::Data(tail),
            Some(("body", tail)) => Self::Body(tail),
            // The document as it was before a change of it: of all attributes, the only one that anything leads into.
            Some(("before", tail)) if !tail.names().is_empty() => Self::Body(path.clone()),
            Some((name, _)) => Self::Attribute(name),
            None => Self::Body(path.clone()),
        }
    }
}

impl PathError {
    /// The byte of the text at which it stops being a path.
    pub fn at(&self) -> usize {
        match self {
            Self::EmptyName { at } | Self::BadEscape { at } | Self::Nul { at } => *at,
        }
    }
}

impl FieldPath {
    /// Reads a path from text.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.is_empty() {
            return Ok(Self::whole());
        }
        let mut names = vec![String::new()];
        let mut letters = text.char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '\0' => return Err(PathError::Nul { at }),
                '.' if names.last().is_some_and(String::is_empty) => return Err(PathError::EmptyName { at }),
                '.' => names.push(String::new()),
                '\\' => match letters.next() {
                    Some((_, escaped @ ('.' | '\\'))) => push(&mut names, escaped),
                    _ => return Err(PathError::BadEscape { at }),
                },
                plain => push(&mut names, plain),
            }
        }
        if names.last().is_some_and(String::is_empty) {
            return Err(PathError::EmptyName { at: text.len() });
        }
        Ok(Self(names.into()))
    }

    /// The path to the whole value.
    pub fn whole() -> Self {
        Self(Arc::from([]))
    }

    /// The path that goes on with another from where this one leads.
    #[must_use]
    pub fn join(&self, inner: &Self) -> Self {
        Self(self.0.iter().chain(inner.0.iter()).cloned().collect())
    }

    /// The names from the outside in.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// The path without its first name, and that name; `None` for the empty path.
    pub fn split_first(&self) -> Option<(&str, Self)> {
        let (head, tail) = self.0.split_first()?;
        Some((head, Self(Arc::from(tail))))
    }

    /// The path without its last name; `None` once that would be the whole value.
    pub fn parent(&self) -> Option<Self> {
        let (_, outer) = self.0.split_last()?;
        (!outer.is_empty()).then(|| Self(Arc::from(outer)))
    }
}

fn push(names: &mut [String], letter: char) {
    if let Some(last) = names.last_mut() {
        last.push(letter);
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> =
            self.0.iter().map(|name| name.replace('\\', "\\\\").replace('.', "\\.")).collect();
        f.write_str(&names.join("."))
    }
}
