//! What is kept of an event that is put aside: its declared parts, and nothing else of it.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::extract::Wanted;
use super::path::Part;
use super::{FieldPath, Notice, find_at};

/// Says in an excerpt that something protected was left out. No event has an attribute of this name.
pub(super) const LEFT_OUT: &str = "left_out";

/// Builds the excerpt of a notice: the attributes that identify it, and of `data` and `body` the declared paths.
///
/// It is itself an event that [`super::Envelope::excerpt`] opens, and is read as the whole one was, to the letter:
/// what was refused for a key that stands twice, or a number that no double holds, is not accepted later for having
/// lost it. What cannot be taken apart leaves no excerpt. Of protected paths nothing is kept, not even in another form, but
/// that they led to something.
pub fn excerpt(notice: &Notice<'_>, paths: &[FieldPath], protected: &[FieldPath]) -> Option<String> {
    let (mut data, mut body) = (None::<Wanted>, None::<Wanted>);
    let mut kept = BTreeMap::new();
    for name in ["id", "type", "time"] {
        // Only as names and times: whoever puts an object there has not declared what is in it.
        let raw = notice.attribute(name).filter(|raw| !raw.get().starts_with(['{', '[']));
        kept.extend(raw.map(|raw| (name, raw.get().to_owned())));
    }
    if notice.is_curtailed() || protected.iter().any(|path| tells(notice, path)) {
        kept.insert(LEFT_OUT, "true".to_owned());
    }
    for path in paths.iter().filter(|path| !protected.contains(path)) {
        match Part::of(path) {
            Part::Data(path) => drop(data.get_or_insert_default().add(&path)),
            Part::Body(path) => drop(body.get_or_insert_default().add(&path)),
            Part::Attribute(name) => {
                kept.extend(notice.attribute(name).map(|raw| (name, raw.get().to_owned())));
            }
        }
    }
    for (name, wanted, part) in [("data", data, notice.data()), ("body", body, notice.body())] {
        if let (Some(wanted), Some(part)) = (wanted, part) {
            kept.insert(name, wanted.only(part.get()).ok()?);
        }
    }
    let kept: BTreeMap<&str, Box<RawValue>> = kept
        .into_iter()
        .map(|(name, json)| Some((name, RawValue::from_string(json).ok()?)))
        .collect::<Option<_>>()?;
    serde_json::to_string(&kept).ok()
}

/// Whether an event says anything at a path, or what cannot be read.
pub fn tells(notice: &Notice<'_>, path: &FieldPath) -> bool {
    let (part, path) = match Part::of(path) {
        Part::Data(path) => (notice.data(), path),
        Part::Body(path) => (notice.body(), path),
        Part::Attribute(name) => return notice.attribute(name).is_some(),
    };
    part.is_some_and(|part| !matches!(find_at(part, &path), Ok(None)))
}
