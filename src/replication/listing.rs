//! The owner's list: all that it has, page by page.
//!
//! A page is asked for by what it comes after: a value that the page before gives, its link, or its last id. Pages that are
//! counted would shift under whoever reads them with each entity that comes or goes, and some be on none of them.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::fetch::{AnswerPaths, after_scheme, is_odd, parse, utf8};
use super::{Answer, Subscription, UrlTemplate};
use crate::event::{DecodeError, EntityId, FieldPath, Reason, find_at};

/// How long it may be what a page comes after, in bytes.
const LONGEST: usize = 4 << 10;

/// How the owner is asked for all that it has.
#[derive(Clone, Debug)]
pub struct ListingSpec {
    /// How one page leads to the next.
    pub way: Way,
    /// Where the list is in a page.
    pub items: FieldPath,
    /// Where a page says how many there are in all, if it does.
    pub total: Option<FieldPath>,
}

/// How one page leads to the next.
#[derive(Clone, Debug)]
pub enum Way {
    /// The page says what the next one comes after.
    Cursor {
        /// Where a page is found.
        url: UrlTemplate,
        /// Where the value is in it.
        next: FieldPath,
        /// What stands for it at first.
        first: String,
    },
    /// The next one comes after the last id of the page.
    LastId {
        /// Where a page is found.
        url: UrlTemplate,
        /// What stands for an id at first.
        first: String,
    },
    /// The header `Link` says where the next one is.
    Link(FixedUrl),
}

/// A URL without a slot. What is asked for after it stays at the same scheme and host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedUrl {
    origin: Arc<str>,
    target: Arc<str>,
}

/// A page as the owner sent it.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'s> {
    /// Its body.
    pub body: &'s [u8],
    /// The header `Link`.
    pub link: Option<&'s str>,
}

/// What a page says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// The entities on it.
    pub entities: Vec<(EntityId, Answer)>,
    /// Why others on it cannot be read, with their ids where these can.
    pub unreadable: Vec<(Option<EntityId>, DecodeError)>,
    /// What the next page comes after; `None` where this is the last one.
    pub next: Option<String>,
    /// How many there are in all, if it says so.
    pub total: Option<u64>,
}

impl ListingSpec {
    /// Where the page is found that comes after that; the first one, where it comes after nothing.
    pub fn url(&self, after: Option<&str>) -> String {
        match &self.way {
            Way::Cursor { url, first, .. } | Way::LastId { url, first } => {
                url.expand_value(after.unwrap_or(first))
            }
            Way::Link(url) => format!("{}{}", url.origin, after.unwrap_or(&url.target)),
        }
    }

    /// Reads a page. One that does not lead on is none: the same entities would come for ever.
    pub fn read(
        &self,
        page: Sent<'_>,
        after: Option<&str>,
        of: &Subscription,
        answers: &AnswerPaths,
        time_of_day: i64,
    ) -> Result<Listing, DecodeError> {
        let root = parse(utf8(page.body)?)?;
        let list = find_at(root, &self.items)?.ok_or_else(|| bad("there is no list at the declared path"))?;
        let items: Vec<&RawValue> = serde_json::from_str(list.get())
            .map_err(|_| bad("there is something else than a list at the declared path"))?;
        let mut listing = Listing::default();
        for item in &items {
            match answers.read(item, of, time_of_day) {
                Ok(entity) => listing.entities.push(entity),
                Err(error) => listing.unreadable.push((answers.entity(item).ok(), error)),
            }
        }
        if let Some(total) = &self.total {
            let total = find_at(root, total)?.map(RawValue::get);
            listing.total = total.and_then(|total| total.trim_matches('"').parse().ok());
        }
        let next = match &self.way {
            Way::Cursor { next, .. } => find_at(root, next)?.map(value).transpose()?.flatten(),
            Way::LastId { .. } => {
                items.last().map(|last| answers.entity(last)).transpose()?.map(|id| id.to_string())
            }
            Way::Link(url) => page.link.and_then(next_link).map(|link| url.follow(link)).transpose()?,
        };
        listing.next = next.filter(|next| !next.is_empty());
        if listing.next.as_ref().is_some_and(|next| next.len() > LONGEST) {
            return Err(bad("what the next page comes after is longer than 4 KiB"));
        }
        if after.is_some() && listing.next.as_deref() == after {
            if !items.is_empty() {
                return Err(bad("the page leads to itself"));
            }
            listing.next = None;
        }
        Ok(listing)
    }
}

impl FixedUrl {
    /// Reads a URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = after_scheme(text)?;
        let path = rest.find('/').ok_or("the URL has no path")?;
        if path == 0 {
            return Err("the URL has no host".into());
        }
        if text.contains(is_odd) {
            return Err("the URL may contain no braces, no blanks and no backslashes".into());
        }
        if text.contains('#') {
            return Err("a `#…` is never sent to the owner".into());
        }
        let (origin, target) = text.split_at(text.len() - rest.len() + path);
        Ok(Self { origin: origin.into(), target: target.into() })
    }

    /// Where a link leads; an owner may send us nowhere else than to itself.
    fn follow(&self, link: &str) -> Result<String, DecodeError> {
        let path = self.target.split('?').next().unwrap_or_default();
        let target = match link.strip_prefix(&*self.origin) {
            Some(rest) if rest.starts_with('/') => rest.to_owned(),
            None if link.starts_with('/') && !link.starts_with("//") => link.to_owned(),
            None if link.starts_with('?') => format!("{path}{link}"),
            _ => return Err(bad("the link to the next page leads to another host, or is no whole path")),
        };
        if target.contains(|letter: char| is_odd(letter) || letter == '#') {
            return Err(bad("the link to the next page is not written as a URL must be"));
        }
        Ok(target)
    }
}

/// What the next page comes after is text or a number; `null` is nothing.
fn value(raw: &RawValue) -> Result<Option<String>, DecodeError> {
    match serde_json::from_str(raw.get()) {
        Ok(serde_json::Value::Null) => Ok(None),
        Ok(serde_json::Value::String(text)) => Ok(Some(text)),
        Ok(serde_json::Value::Number(_)) => Ok(Some(raw.get().to_owned())),
        _ => Err(bad("what the next page comes after is neither text nor a number")),
    }
}

/// The target of `rel="next"` in a header of links (RFC 8288).
fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let (_, link) = rest.split_once('<')?;
        let (target, after) = link.split_once('>')?;
        let end = after.find('<').unwrap_or(after.len());
        let is_next = |parameter: &str| {
            let (name, value) = parameter.split_once('=').unwrap_or_default();
            let mut relations = value.split(['"', ',', ' ', '\t']);
            name.trim().eq_ignore_ascii_case("rel")
                && relations.any(|relation| relation.eq_ignore_ascii_case("next"))
        };
        if after[..end].split(';').any(is_next) {
            return Some(target);
        }
        rest = &after[end..];
    }
}

fn bad(why: &str) -> DecodeError {
    DecodeError::new(Reason::NotJson, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_links() {
        for (header, next) in [
            (r#"</users?after=7>; rel="next""#, Some("/users?after=7")),
            (r#"</users>; rel="first", </users?after=a,b>; REL=next; title="on"#, Some("/users?after=a,b")),
            (r#"</users?after=7>; rel="last next""#, Some("/users?after=7")),
            (r#"</users?after=7>; rel="prev""#, None),
            (r#"</users?next=7>; title="next""#, None),
            ("/users?after=7", None),
            ("", None),
        ] {
            assert_eq!(next_link(header), next, "{header}");
        }
    }

    /// S4: whatever a link says, it leads to nobody else.
    #[test]
    fn a_link_stays_with_its_owner() {
        let url = FixedUrl::parse("http://users:8080/v1/users?limit=5").unwrap();
        let follow = |link: &str| url.follow(link).ok();
        assert_eq!(follow("/v1/users?after=7").as_deref(), Some("/v1/users?after=7"));
        assert_eq!(follow("?after=7").as_deref(), Some("/v1/users?after=7"));
        assert_eq!(follow("http://users:8080/v1/users?after=7").as_deref(), Some("/v1/users?after=7"));
        for link in [
            "http://users:8080.evil.example/v1",
            "http://users:80801/v1",
            "http://users:8080@evil.example/v1",
            "https://users:8080/v1",
            "//evil.example/v1",
            "users?after=7",
            "/v1/us\ters",
            "/v1\\users",
            "/v1#users",
        ] {
            assert_eq!(follow(link), None, "{link}");
        }
    }
}
