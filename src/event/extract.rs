//! Takes the wanted values out of JSON text in one pass, building nothing of what is not wanted.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{DecodeError, FieldPath, Reason};

/// Marks the one parse error that is ours, so that it can be told from broken JSON.
const DUPLICATE: &str = "duplicate key ";

/// A set of paths, and the slot each one's value goes to.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    root: Node,
    slots: usize,
}

#[derive(Clone, Debug, Default)]
struct Node {
    slot: Option<usize>,
    children: Vec<(String, Node)>,
}

/// The values found, by slot; they borrow from the text.
pub type Slots<'a> = Vec<Option<&'a RawValue>>;

impl Wanted {
    /// Adds a path and says which slot its value will be in.
    pub fn add(&mut self, path: &FieldPath) -> usize {
        let mut node = &mut self.root;
        for name in path.names() {
            let at = match node.children.iter().position(|(known, _)| known == name) {
                Some(at) => at,
                None => {
                    node.children.push((name.clone(), Node::default()));
                    node.children.len() - 1
                }
            };
            node = &mut node.children[at].1;
        }
        let slots = &mut self.slots;
        *node.slot.get_or_insert_with(|| {
            *slots += 1;
            *slots - 1
        })
    }

    /// Reads JSON text; a path that leads nowhere leaves its slot empty.
    ///
    /// A key that stands twice on a wanted path is an error, because readers differ on which one counts.
    pub fn extract<'a>(&self, json: &'a str) -> Result<Slots<'a>, DecodeError> {
        let mut slots = vec![None; self.slots];
        if self.slots == 0 {
            return Ok(slots);
        }
        let mut parser = serde_json::Deserializer::from_str(json);
        Descend { node: &self.root, slots: &mut slots }
            .deserialize(&mut parser)
            .and_then(|()| parser.end())
            .map_err(|error| broken(&error))?;
        Ok(slots)
    }

    /// The same JSON without what is not wanted. Whoever reads it finds at the wanted paths what he would have
    /// found before, to the letter, keys that stand twice included.
    pub fn only(&self, json: &str) -> Result<String, DecodeError> {
        if !json.starts_with('{') {
            // Nothing is kept of what is no object, not even that it is broken: so that is found out here.
            self.extract(json)?;
        }
        let mut kept = String::new();
        self.root.keep(json, &mut kept)?;
        Ok(kept)
    }
}

impl Node {
    fn keep(&self, json: &str, kept: &mut String) -> Result<(), DecodeError> {
        if self.slot.is_some() {
            kept.push_str(json);
            return Ok(());
        }
        if !json.starts_with('{') {
            kept.push_str("null");
            return Ok(());
        }
        let Members(members) = serde_json::from_str(json).map_err(|error| broken(&error))?;
        let mut before = '{';
        for (name, value) in members {
            let Some((_, child)) = self.children.iter().find(|(known, _)| *known == name) else { continue };
            kept.push(before);
            kept.push_str(&serde_json::Value::from(name).to_string());
            kept.push(':');
            child.keep(value.get(), kept)?;
            before = ',';
        }
        kept.push_str(if before == '{' { "{}" } else { "}" });
        Ok(())
    }
}

/// The part of a JSON value at a path, if the path leads somewhere.
pub fn find_at<'a>(raw: &'a RawValue, path: &FieldPath) -> Result<Option<&'a RawValue>, DecodeError> {
    let mut wanted = Wanted::default();
    let slot = wanted.add(path);
    Ok(wanted.extract(raw.get())?[slot])
}

/// Classes a parse error. Where JSON is broken, `serde_json`'s text names line and column and never a value; where
/// it is only of another type than wanted, the text quotes what was found, so it is not passed on.
pub(super) fn broken(error: &serde_json::Error) -> DecodeError {
    let text = error.to_string();
    if text.starts_with(DUPLICATE) {
        DecodeError::new(Reason::DuplicateKey, text)
    } else if error.is_data() {
        DecodeError::new(Reason::NotJson, "the JSON is of another type than wanted")
    } else {
        DecodeError::new(Reason::NotJson, text)
    }
}

struct Descend<'n, 's, 'a> {
    node: &'n Node,
    slots: &'s mut Slots<'a>,
}

impl<'a> DeserializeSeed<'a> for Descend<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'a>>(self, parser: D) -> Result<(), D::Error> {
        let Some(slot) = self.node.slot else {
            return parser.deserialize_any(self);
        };
        let raw: &'a RawValue = serde::Deserialize::deserialize(parser)?;
        self.slots[slot] = Some(raw);
        if self.node.children.is_empty() {
            return Ok(());
        }
        let mut inner = serde_json::Deserializer::from_str(raw.get());
        serde::Deserializer::deserialize_any(&mut inner, self).map_err(D::Error::custom)
    }
}

/// Which of an object's wanted members have been met: the first of them, as is usual, in one word.
#[derive(Default)]
struct Seen {
    first: u64,
    others: BTreeSet<usize>,
}

impl Seen {
    /// Whether this is the first time.
    fn insert(&mut self, at: usize) -> bool {
        let Some(bit) = u32::try_from(at).ok().and_then(|at| 1_u64.checked_shl(at)) else {
            return self.others.insert(at);
        };
        let is_new = self.first & bit == 0;
        self.first |= bit;
        is_new
    }
}

impl<'a> Visitor<'a> for Descend<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        let mut seen = Seen::default();
        while let Some(Name(key)) = map.next_key::<Name<'a>>()? {
            match self.node.children.iter().position(|(name, _)| *name == key) {
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
                Some(at) if !seen.insert(at) => {
                    return Err(M::Error::custom(format_args!("{DUPLICATE}`{key}`")));
                }
                Some(at) => {
                    map.next_value_seed(Descend { node: &self.node.children[at].1, slots: self.slots })?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut seq: S) -> Result<(), S::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

/// An object key, borrowed from the text unless it contains escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// The text that a JSON string says, borrowed unless it contains escapes; `None` for any other value.
pub(super) fn text(json: &str) -> Option<Cow<'_, str>> {
    // To be told that a number is no text would cost more than to read it.
    let is_text = json.starts_with('"');
    is_text.then(|| serde_json::from_str(json).ok().map(|Name(text)| text)).flatten()
}

/// The members of an object in their order, values unread.
pub struct Members<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> serde::Deserialize<'de> for Members<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(parser: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members<'de>, M::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        parser.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extract<'a>(paths: &[&str], json: &'a str) -> Result<Vec<Option<&'a str>>, DecodeError> {
        let mut wanted = Wanted::default();
        for path in paths {
            wanted.add(&FieldPath::parse(path).unwrap());
        }
        Ok(wanted.extract(json)?.into_iter().map(|slot| slot.map(RawValue::get)).collect())
    }

    #[test]
    fn values_are_found_by_path_and_the_rest_is_passed_over() {
        let json = r#"{"a": {"b": [1, {"c": 2}], "x": {"b": 3}}, "d": "e"}"#;
        let found = extract(&["a.b", "a.x.b", "d", "a.none"], json).unwrap();
        assert_eq!(found, [Some(r#"[1, {"c": 2}]"#), Some("3"), Some(r#""e""#), None]);
    }

    #[test]
    fn a_value_and_a_part_of_it_are_both_found() {
        let found = extract(&["a", "a.b", ""], r#"{"a": {"b": 1}}"#).unwrap();
        assert_eq!(found, [Some(r#"{"b": 1}"#), Some("1"), Some(r#"{"a": {"b": 1}}"#)]);
    }

    #[test]
    fn only_what_is_wanted_is_left_and_reads_as_before() {
        let only = |paths: &[&str], json: &str| {
            let mut wanted = Wanted::default();
            for path in paths {
                wanted.add(&FieldPath::parse(path).unwrap());
            }
            wanted.only(json).map_err(|error| error.reason)
        };
        let json = r#"{"a": {"b": 1.50, "x": 2}, "d": {"e": [1,  2]}, "a": 3, "y": 4}"#;
        assert_eq!(only(&["a.b", "d"], json).unwrap(), r#"{"a":{"b":1.50},"d":{"e": [1,  2]},"a":null}"#);
        assert_eq!(only(&["a.b", "a"], r#"{"a": {"x": 1}}"#).unwrap(), r#"{"a":{"x": 1}}"#);
        assert_eq!(only(&["a"], "\"secret\"").unwrap(), "null");
        assert_eq!(only(&["a"], r#"{"b": 1}"#).unwrap(), "{}");
        assert_eq!(only(&["a"], r#"{"\ud800": 1, "a": 2}"#), Err(Reason::NotJson));
    }

    #[test]
    fn a_key_written_with_escapes_is_the_same_key() {
        assert_eq!(extract(&["id"], r#"{"\u0069d": 7}"#).unwrap(), [Some("7")]);
    }

    #[test]
    fn a_wanted_key_that_stands_twice_is_refused_and_an_unwanted_one_is_not() {
        let twice = extract(&["id"], r#"{"id": 1, "id": 2}"#).unwrap_err();
        assert_eq!(twice.reason, Reason::DuplicateKey);
        assert_eq!(extract(&["id"], r#"{"x": 1, "x": 2, "id": 3}"#).unwrap(), [Some("3")]);
        let inside = extract(&["", "id"], r#"{"id": 1, "id": 2}"#).unwrap_err();
        assert_eq!(inside.reason, Reason::DuplicateKey);
    }

    #[test]
    fn broken_json_is_refused_wherever_it_breaks() {
        for json in ["", "{", r#"{"id": }"#, r#"{"id": 1} x"#, r#"{"a": NaN}"#, r#"{"x": [1,}"#] {
            assert_eq!(extract(&["id"], json).unwrap_err().reason, Reason::NotJson, "{json}");
        }
    }

    #[test]
    fn a_path_through_something_that_is_no_object_leads_nowhere() {
        for json in ["3", "\"s\"", "null", "true", "[1]", r#"{"a": 1.5}"#, r#"{"a": [1]}"#, r#"{"a": -1}"#] {
            assert_eq!(extract(&["a.b"], json).unwrap(), [None], "{json}");
        }
    }

    #[test]
    fn ten_thousand_levels_that_nobody_wants_do_no_harm() {
        let json = format!(r#"{{"x": {}{}, "id": 1}}"#, "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(extract(&["id"], &json).unwrap(), [Some("1")]);
    }
}
