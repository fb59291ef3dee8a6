//! How the owner is asked, and what its answers mean.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use super::{Answer, Content, Keep, ListingSpec, Subscription, Why};
use crate::event::{
    DecodeError, EntityId, Field, FieldPath, Guard, IdKind, Limits, Notice, Reason, Selection, VersionRule,
};

/// How the owner's API is asked for entities.
#[derive(Clone, Debug)]
pub struct FetchSpec {
    /// Where one entity is found.
    pub url: UrlTemplate,
    /// Where several are found at once; preferred where it exists.
    pub batch: Option<UrlTemplate>,
    /// Where those are found who have a value of a field, by its name.
    pub by: BTreeMap<String, UrlTemplate>,
    /// Where all are found that it has, page by page.
    pub list: Option<ListingSpec>,
    /// How many are asked for at once.
    pub batch_size: usize,
    /// How many requests may be under way at once.
    pub concurrency: usize,
    /// How long one request may take.
    pub timeout: Duration,
    /// How stale the owner's answers can be: first answers are asked for again after this long.
    pub settle: Duration,
    /// How often what is held is compared with the owner, if at all.
    pub reconcile: Option<Duration>,
    /// Reads an answer.
    pub answers: AnswerPaths,
}

/// Where things are in the owner's answers.
#[derive(Clone, Debug)]
pub struct AnswerPaths {
    items: FieldPath,
    data: FieldPath,
    selection: Selection,
}

/// A URL with one slot, such as `{id}` or `{ids}`; scheme and host are fixed, what fills the slot is percent-encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlTemplate {
    before: Arc<str>,
    after: Arc<str>,
}

impl AnswerPaths {
    /// Whether a field of that name is kept of an answer.
    pub fn keeps(&self, name: &str) -> bool {
        self.selection.fields().any(|field| field.name == name)
    }
}

impl UrlTemplate {
    /// Reads a template with exactly one slot of that name, in the path or the query.
    pub fn parse(text: &str, slot: &str) -> Result<Self, String> {
        let rest = after_scheme(text)?;
        let mark = format!("{{{slot}}}");
        let (before, after) = text.split_once(&mark).ok_or(format!("the URL has no `{mark}`"))?;
        let host_end =
            text.len() - rest.len() + rest.find('/').ok_or(format!("`{mark}` is not in the path"))?;
        if before.len() <= host_end {
            return Err(format!("`{mark}` may stand only in the path or the query"));
        }
        if host_end == text.len() - rest.len() {
            return Err("the URL has no host".into());
        }
        if [before, after].iter().any(|part| part.contains(is_odd)) {
            return Err(format!(
                "besides `{mark}` the URL may contain no braces, no blanks and no backslashes"
            ));
        }
        if text.contains('#') {
            return Err("a `#…` is never sent to the owner".into());
        }
        Ok(Self { before: before.into(), after: after.into() })
    }

    /// The URL that asks for these entities; several are joined by commas.
    pub fn expand<'a>(&self, ids: impl IntoIterator<Item = &'a EntityId>) -> String {
        let encoded: Vec<String> = ids.into_iter().map(|id| percent_encode(&id.to_string())).collect();
        format!("{}{}{}", self.before, encoded.join(","), self.after)
    }

    /// The host that is asked, with its port where the URL names one, and without what it may say of a user.
    pub fn host(&self) -> &str {
        let place = self.before.split_once("://").map_or("", |(_, rest)| rest);
        let authority = place.split('/').next().unwrap_or_default();
        authority.rsplit_once('@').map_or(authority, |(_, host)| host)
    }

    /// The URL that asks for those who have this value.
    pub fn expand_value(&self, value: &str) -> String {
        format!("{}{}{}", self.before, percent_encode(value), self.after)
    }
}

impl fmt::Display for UrlTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{{…}}{}", self.before, self.after)
    }
}

/// What follows upon the scheme of a URL.
pub(super) fn after_scheme(text: &str) -> Result<&str, String> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.ok_or_else(|| "the URL begins with neither `http://` nor `https://`".into())
}

/// Clients leave tabs out and take `\` for `/`, so what is sent would be another URL than the one looked at.
pub(super) fn is_odd(letter: char) -> bool {
    letter.is_whitespace() || letter.is_control() || "{}\\".contains(letter)
}

/// Leaves only RFC 3986's unreserved characters as they are. That keeps an id within its slot, but for `.` and `..`:
/// clients take those for steps between folders even when they are encoded, so whoever sends must refuse them.
fn percent_encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if plain(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}

impl AnswerPaths {
    /// Says where id, version and data are in an answer, and where the list is in a batch answer.
    pub fn new(
        id: &FieldPath,
        id_kind: IdKind,
        version: VersionRule,
        data: FieldPath,
        items: FieldPath,
        fields: Vec<Field>,
    ) -> Self {
        Self { items, data, selection: Selection::new(id, id_kind, version, fields) }
    }

    /// Has fields protected by this guard.
    pub(super) fn protect(&mut self, guard: Guard) {
        self.selection.protect(guard);
    }

    /// Reads the answer to a question for one entity; an answer about another one is refused. The time of day is
    /// microseconds since 1970.
    pub fn read_one(
        &self,
        body: &[u8],
        asked: &EntityId,
        of: &Subscription,
        time_of_day: i64,
    ) -> Result<Answer, DecodeError> {
        let text = utf8(body)?;
        let raw = parse(text)?;
        let (entity, answer) = self.read(raw, of, time_of_day)?;
        if entity == *asked {
            Ok(answer)
        } else {
            Err(DecodeError::new(
                Reason::OtherEntity,
                "the owner answered for another id than the one asked for",
            ))
        }
    }

    /// Reads the answer to a question for several. Entities that were not asked for are left out, and so are
    /// those that cannot be read: they are asked for singly, where the trouble is seen for what it is.
    pub fn read_batch(
        &self,
        body: &[u8],
        asked: &[EntityId],
        of: &Subscription,
        time_of_day: i64,
    ) -> Result<Vec<(EntityId, Answer)>, DecodeError> {
        let text = utf8(body)?;
        let list = at(parse(text)?, &self.items)?
            .ok_or_else(|| DecodeError::new(Reason::NotJson, "there is no list at the declared path"))?;
        let items: Vec<&RawValue> = serde_json::from_str(list.get())
            .map_err(|_| DecodeError::new(Reason::NotJson, "the answer to a batch is no JSON array"))?;
        let read = items.into_iter().filter_map(|item| self.read(item, of, time_of_day).ok());
        Ok(read.filter(|(entity, _)| asked.contains(entity)).collect())
    }

    /// Reads whom the owner found: one entity, or a list of them. Here an entity that cannot be read is no answer at all,
    /// since nothing else would tell that it is there.
    pub fn read_found(&self, body: &[u8]) -> Result<Vec<EntityId>, DecodeError> {
        let raw = parse(utf8(body)?)?;
        let is_list = |raw: &RawValue| raw.get().starts_with('[');
        let list = if is_list(raw) { Some(raw) } else { at(raw, &self.items)?.filter(|raw| is_list(raw)) };
        let items: Vec<&RawValue> = match list {
            None => vec![raw],
            Some(list) => serde_json::from_str(list.get())
                .map_err(|_| DecodeError::new(Reason::NotJson, "the owner's list cannot be read"))?,
        };
        items.into_iter().map(|item| self.entity(item)).collect()
    }

    /// Which entity an item is about.
    pub(super) fn entity(&self, raw: &RawValue) -> Result<EntityId, DecodeError> {
        let notice = Notice::of_answer(raw, at(raw, &self.data)?, Limits::default());
        self.selection.entity(&self.selection.find(&notice)?)
    }

    /// Reads what is said of one entity.
    pub(super) fn read(
        &self,
        raw: &RawValue,
        of: &Subscription,
        time_of_day: i64,
    ) -> Result<(EntityId, Answer), DecodeError> {
        let data = at(raw, &self.data)?;
        let notice = Notice::of_answer(raw, data, Limits::default());
        let values = self.selection.find(&notice)?;
        let entity = self.selection.entity(&values)?;
        let version = self.selection.version(&values, time_of_day)?;
        let content = match &of.keep {
            Keep::Where(condition) if !condition.holds(data)? => Content::Gone(Why::Out),
            _ => Content::Live(self.selection.state(&values, &entity)?),
        };
        Ok((entity, Answer::Found { version, content }))
    }
}

pub(super) fn utf8(body: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(body).map_err(|_| DecodeError::new(Reason::NotJson, "the owner's answer is no UTF-8"))
}

pub(super) fn parse(text: &str) -> Result<&RawValue, DecodeError> {
    serde_json::from_str(text)
        .map_err(|error| DecodeError::new(Reason::NotJson, format!("the owner's answer is no JSON: {error}")))
}

/// The part of an answer at a path.
fn at<'a>(raw: &'a RawValue, path: &FieldPath) -> Result<Option<&'a RawValue>, DecodeError> {
    crate::event::find_at(raw, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fills_the_slot_cannot_leave_it() {
        let template = UrlTemplate::parse("http://users/v1/{id}?full=1", "id").unwrap();
        assert_eq!(template.host(), "users");
        let secret = UrlTemplate::parse("https://me:hush@users:8443/{id}", "id").unwrap();
        assert_eq!(secret.host(), "users:8443");
        let expand = |text: &str| template.expand([&EntityId::String(text.into())]);
        assert_eq!(expand("42"), "http://users/v1/42?full=1");
        assert_eq!(expand("a/../b?c#d@e"), "http://users/v1/a%2F..%2Fb%3Fc%23d%40e?full=1");
        assert_eq!(expand("ü,1"), "http://users/v1/%C3%BC%2C1?full=1");
    }

    #[test]
    fn a_template_fixes_scheme_and_host() {
        for text in [
            "ftp://users/{id}",
            "users/{id}",
            "http://{id}/users",
            "http://{id}",
            "http://users/none",
            "http:///{id}",
            "http://users/{id}/{id}",
            "http://us ers/{id}",
            "http://users/#{id}",
            "http://users/v1/\t{id}",
            "http://users/v1\\{id}",
        ] {
            assert!(UrlTemplate::parse(text, "id").is_err(), "{text}");
        }
    }
}
