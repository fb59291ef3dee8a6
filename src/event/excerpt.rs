//! What is kept of an event that is put aside: its declared parts, and nothing else of it.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::extract::Wanted;
use super::path::Part;
use super::{FieldPath, Notice};

/// Builds the excerpt of a notice: the attributes that identify it, and of `data` and `body` the declared paths.
///
/// It is itself an event that [`super::Envelope::excerpt`] opens, and is read as the whole one was, to the letter:
/// what was refused for a key that stands twice, or a number that no double holds, is not accepted later for having
/// lost it. What cannot be taken apart leaves no excerpt.
pub fn excerpt(notice: &Notice<'_>, paths: &[FieldPath]) -> Option<String> {
    let (mut data, mut body) = (None::<Wanted>, None::<Wanted>);
    let mut kept = BTreeMap::new();
    for name in ["id", "type", "time"] {
        // Only as names and times: whoever puts an object there has not declared what is in it.
        let raw = notice.attribute(name).filter(|raw| !raw.get().starts_with(['{', '[']));
        kept.extend(raw.map(|raw| (name, raw.get().to_owned())));
    }
    for path in paths {
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
