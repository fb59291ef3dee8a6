//! How large documents are, without encoding them each time.

use bson::{Bson, Document, RawDocumentBuf};

use crate::event::{DecodeError, Reason};

/// What every value costs besides itself: its type, and a name or a place.
const AROUND: usize = 16;

/// About how many bytes a value takes, rather more than less.
pub(super) fn of(value: &Bson) -> usize {
    AROUND
        + match value {
            Bson::String(text) => text.len(),
            Bson::Array(items) => items.iter().map(of).sum(),
            Bson::Document(members) => members.iter().map(|(name, value)| name.len() + of(value)).sum(),
            Bson::Binary(binary) => binary.bytes.len(),
            _ => 0,
        }
}

/// Fails where a document has become too large. What was known of its size grows by what was put into it, and is found
/// out only where that comes near the bound.
pub(super) fn bounded(
    document: &Document,
    known: &mut usize,
    grown: usize,
    most: usize,
) -> Result<(), DecodeError> {
    *known = known.saturating_add(grown);
    if *known < most / 2 {
        return Ok(());
    }
    let encoded = RawDocumentBuf::try_from(document);
    *known = encoded.map_or(usize::MAX, |encoded| encoded.as_bytes().len());
    if *known < most {
        return Ok(());
    }
    let detail = format!("the document would be larger than {} MB", most >> 20);
    Err(DecodeError::new(Reason::TooLarge, detail))
}

#[cfg(test)]
mod tests {
    use bson::{bson, doc};

    use super::*;

    #[test]
    fn what_is_said_of_a_size_is_never_too_little() {
        let values = [
            bson!("text"),
            bson!(1_i64),
            bson!([1_i64, "x", {}]),
            bson!({ "a": { "b": [true, null, 1.5] } }),
        ];
        for value in values {
            let size = of(&value);
            let encoded = RawDocumentBuf::try_from(&doc! { "": value.clone() }).unwrap().as_bytes().len();
            assert!(size + AROUND >= encoded, "{value}: {size} of {encoded}");
        }
    }

    #[test]
    fn a_document_is_measured_when_it_may_have_become_too_large() {
        let small = doc! { "a": "x".repeat(100) };
        let mut known = 1_000;
        assert!(bounded(&small, &mut known, 0, 1_000).is_ok());
        assert!(known < 200, "{known}");
        let large = doc! { "a": "x".repeat(2_000) };
        assert_eq!(bounded(&large, &mut known, 2_000, 1_000).unwrap_err().reason, Reason::TooLarge);
    }
}
