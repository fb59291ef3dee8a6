//! The declared fields of a state as bytes of BSON: encoded once, where they are read, and shared from there on.

use std::fmt;
use std::sync::Arc;

use bson::{Document, RawDocument, RawDocumentBuf};

/// Fields in their declared order. Copies share the bytes.
#[derive(Clone, PartialEq)]
pub struct Fields(Arc<RawDocumentBuf>);

impl Fields {
    /// Wraps what is encoded already.
    pub fn new(encoded: RawDocumentBuf) -> Self {
        Self(Arc::new(encoded))
    }

    /// The bytes, as a document that nobody has taken apart.
    pub fn as_raw(&self) -> &RawDocument {
        &self.0
    }

    /// Taken apart, for whoever changes or compares single fields.
    pub fn to_document(&self) -> Document {
        // Only bytes that are no BSON are refused.
        Document::try_from(self.as_raw()).unwrap_or_default()
    }
}

impl TryFrom<Document> for Fields {
    type Error = bson::error::Error;

    /// Fails where a name contains a NUL character.
    fn try_from(fields: Document) -> Result<Self, Self::Error> {
        RawDocumentBuf::try_from(fields).map(Self::new)
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_document().fmt(f)
    }
}
