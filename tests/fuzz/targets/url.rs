//! URLs with a slot: whatever is filled in, scheme, host and all around the slot stay as they were.

use nearcopy::event::{EntityId, IdKind};
use nearcopy::replication::UrlTemplate;
use reqwest::Url;

/// The template, an end of line, and the id.
pub(super) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Some((template, id)) = text.split_once('\n') else { return };
    let (Ok(template), Ok(id)) = (UrlTemplate::parse(template, "id"), EntityId::parse(id, IdKind::String))
    else {
        return;
    };
    let plain = EntityId::String("x".into());
    let (usual, filled) = (template.expand([&plain]), template.expand([&id]));
    let Ok(usual) = Url::parse(&usual) else { return };
    let filled_url = Url::parse(&filled).unwrap_or_else(|error| panic!("no URL any more: {filled}: {error}"));
    let place = |url: &Url| {
        (url.scheme().to_owned(), url.username().to_owned(), url.host_str().map(str::to_owned), url.port())
    };
    assert_eq!(place(&filled_url), place(&usual), "{filled} leads elsewhere");
    assert_eq!(filled_url.fragment(), usual.fragment(), "{filled}");
    let segments = |url: &Url| url.path().split('/').count();
    if !steps(&filled) {
        assert_eq!(segments(&filled_url), segments(&usual), "{filled} leads to another folder");
        assert!(id == plain || filled_url != usual, "{filled} asks for nobody in particular");
    }
    let asked = |url: &Url| url.query().map(|query| query.matches(['&', '=', '#']).count());
    assert_eq!(asked(&filled_url), asked(&usual), "{filled} asks for more");
}

/// Such a URL is never sent.
fn steps(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default().replace("%2E", ".").replace("%2e", ".");
    path.split(['/', '\\']).any(|segment| segment == "." || segment == "..")
}
