//! URL templates of the owner's API.

use super::super::place::Place;
use super::super::{Code, Diagnostic};
use crate::replication::{FixedUrl, UrlTemplate};

/// Reads a template with one slot. What the URL holds is not repeated in a message: variables were put in.
pub(super) fn read(text: &str, slot: &str, at: Place<'_>) -> Result<UrlTemplate, Diagnostic> {
    let example = match slot {
        "id" => "http://user-service/users/{id}".to_owned(),
        slot => format!("http://user-service/users?{slot}={{{slot}}}"),
    };
    let bad = |why: String| {
        Diagnostic::new(Code::BadUrl, at.mark(), "this URL cannot be asked")
            .why(why)
            .help(format!("write it like `{example}`"))
    };
    let template = UrlTemplate::parse(text, slot).map_err(bad)?;
    without_credentials(text, at)?;
    Ok(template)
}

/// Reads a URL without a slot.
pub(super) fn fixed(text: &str, at: Place<'_>) -> Result<FixedUrl, Diagnostic> {
    let url = FixedUrl::parse(text).map_err(|why| {
        Diagnostic::new(Code::BadUrl, at.mark(), "this URL cannot be asked")
            .why(why)
            .help("write it like `http://user-service/users?limit=500`")
    })?;
    without_credentials(text, at)?;
    Ok(url)
}

fn without_credentials(text: &str, at: Place<'_>) -> Result<(), Diagnostic> {
    let host = text.split("//").nth(1).and_then(|rest| rest.split(['/', '?', '#']).next());
    if host.is_some_and(|host| host.contains('@')) {
        return Err(Diagnostic::new(Code::BadUrl, at.mark(), "this URL carries credentials")
            .why("a user before the host")
            .help("a manifest is reviewed in git and holds no secrets; a token goes into the setting `fetch.token`"));
    }
    Ok(())
}
