//! The draft as YAML, with what was guessed and what is to be decided in comments.

use super::super::output;
use super::super::table::visible;
use super::guess::{Field, Kind, Reaction, Replica, Version};
use super::openapi::Asked;
use super::sample::Envelope;

/// All that a draft says.
pub(super) struct Draft<'d> {
    pub(super) service: &'d str,
    /// What it was made from, in words.
    pub(super) from: String,
    pub(super) exchange: Exchange,
    pub(super) bindings: Bindings,
    pub(super) envelope: &'d Envelope,
    /// The owner, as a label and as the host that is asked where nothing else is known.
    pub(super) owner: String,
    /// Each with how its owner is asked, where that was found.
    pub(super) replicas: Vec<(Replica, Option<Asked>)>,
}

pub(super) struct Exchange {
    pub(super) name: String,
    /// Where the name is from; nothing, where a person gave it.
    pub(super) why: Option<&'static str>,
}

pub(super) struct Bindings {
    pub(super) keys: Vec<String>,
    pub(super) why: &'static str,
}

/// A line: indentation, text, and what is said about it.
struct Page(Vec<String>);

impl Page {
    fn line(&mut self, depth: usize, text: impl AsRef<str>) {
        self.0.push(format!("{}{}", "  ".repeat(depth), text.as_ref()));
    }

    fn said(&mut self, depth: usize, text: impl AsRef<str>, about: impl AsRef<str>) {
        self.line(depth, format!("{}  # {}", text.as_ref(), visible(about.as_ref())));
    }

    fn note(&mut self, depth: usize, about: impl AsRef<str>) {
        self.line(depth, format!("# {}", visible(about.as_ref())));
    }

    fn gap(&mut self) {
        self.0.push(String::new());
    }
}

/// Text as it stands in a manifest, where `${` would name a variable.
fn text(plain: &str) -> String {
    output::text(&plain.replace("${", "$${"))
}

impl Draft<'_> {
    /// The manifest.
    pub(super) fn write(&self) -> String {
        let mut page = Page(Vec::new());
        page.note(0, format!("Drafted by `nearcopy init` from {}.", self.from));
        page.note(0, "What was guessed says so; DECIDE marks what only you can know. Then check it:");
        page.note(0, "  nearcopy check nearcopy.yaml && nearcopy check --online nearcopy.yaml");
        page.gap();
        page.said(
            0,
            format!("service: {}", text(self.service)),
            "DECIDE: the consuming service; it fences its database",
        );
        page.gap();
        self.source(&mut page);
        page.gap();
        page.line(0, "replicas:");
        for (number, (replica, asked)) in self.replicas.iter().enumerate() {
            if number > 0 {
                page.gap();
            }
            self.replica(&mut page, replica, asked.as_ref());
        }
        page.gap();
        self.embeds(&mut page);
        page.0.join("\n") + "\n"
    }

    fn source(&self, page: &mut Page) {
        let Exchange { name, why } = &self.exchange;
        page.line(0, "sources:");
        page.line(1, format!("{}:", text(name)));
        page.line(2, "rabbitmq:");
        let exchange = format!("exchange: {}", text(name));
        match why {
            None => page.line(3, exchange),
            Some(why) => page.said(3, exchange, why),
        }
        page.said(
            3,
            format!("queue: {}", text(&format!("{}.{name}", self.service))),
            "this service's own; it is declared by nearcopy",
        );
        let keys = self
            .bindings
            .keys
            .iter()
            .map(|key| serde_json::Value::from(key.replace("${", "$${")).to_string());
        let keys = keys.collect::<Vec<_>>().join(", ");
        page.said(3, format!("bindings: [{keys}]"), self.bindings.why);
        match self.envelope {
            Envelope::CloudEvents => page.said(2, "format: cloudevents", "every event has `specversion`"),
            Envelope::Json { id, kind, time, data } => {
                page.line(2, "format: json");
                page.line(2, "event:");
                part(
                    page,
                    "id",
                    id.as_deref(),
                    "eventId",
                    "no event has an id of its own, and none is needed",
                );
                part(
                    page,
                    "type",
                    kind.as_deref(),
                    "type",
                    "DECIDE: no event says its type, and each has to",
                );
                part(
                    page,
                    "time",
                    time.as_deref(),
                    "time",
                    "no event says when it happened, so there is no lag to measure",
                );
                let data = super::leaf::written("", data);
                let whole = "what an event is about lies at its top";
                if data.is_empty() {
                    page.said(3, "data: \"\"", whole);
                } else {
                    page.line(3, format!("data: {}", text(&data)));
                }
            }
        }
    }

    fn replica(&self, page: &mut Page, of: &Replica, asked: Option<&Asked>) {
        page.line(1, format!("{}:", text(&of.name)));
        page.said(2, format!("owner: {}", text(&self.owner)), "DECIDE: the service that owns them; a label");
        page.line(2, format!("source: {}", text(&self.exchange.name)));
        page.said(
            2,
            "keep: all",
            "DECIDE: all, referenced (by documents of yours; needs an embed and `fetch`), or a condition",
        );
        id(page, of);
        let needs_fetch = version(page, of.version.as_ref());
        page.line(2, "fields:");
        fields(page, of);
        page.line(2, "on:");
        reactions(page, of, asked);
        match asked {
            Some(asked) => fetch(page, of, asked),
            None if needs_fetch => {
                page.line(2, "fetch:");
                let url = format!("http://{}/{}/{{id}}", self.owner, of.name);
                page.said(3, format!("url: {}", text(&url)), "DECIDE: where one of them is found; without a version each event only says: ask the owner");
            }
            None => {
                page.note(2, "DECIDE: with `fetch` the owner is asked for what is missing:");
                page.note(
                    2,
                    format!(
                        "fetch: {{ url: \"http://{}/{}/{{id}}\", from: {{ id: id, version: version }} }}",
                        self.owner, of.name
                    ),
                );
            }
        }
    }

    fn embeds(&self, page: &mut Page) {
        let Some((first, _)) = self.replicas.first() else { return };
        let shown = first.fields.iter().find(|field| field.kind == Kind::Plain);
        let shown = shown.map_or("id", |field| field.name.as_str());
        let entity = first.entity.as_deref().unwrap_or("entity");
        page.note(
            0,
            "DECIDE: which of your own documents show them? Index the reference, best with `_id` behind it.",
        );
        page.note(0, "embeds:");
        page.note(0, format!("  product-{entity}: {{ in: products, ref: {entity}Id, from: {}, into: {entity}, fields: [{shown}] }}", first.name));
    }
}

/// A part of an event's envelope, or the usual one with a word on why.
fn part(page: &mut Page, name: &str, found: Option<&str>, usual: &str, missing: &str) {
    match found {
        Some(found) => {
            let path = super::leaf::written("", &[found.to_owned()]);
            page.line(3, format!("{name}: {}", text(&path)));
        }
        None => page.said(3, format!("{name}: {usual}"), missing),
    }
}

fn id(page: &mut Page, of: &Replica) {
    let id = &of.id;
    let events =
        if of.events == 1 { "the only event".to_owned() } else { format!("all {} events", of.events) };
    let mut about = match (id.is_found, id.is_int) {
        (false, _) => "DECIDE: nothing in the events looks like an id".to_owned(),
        (true, false) => {
            format!("guessed: it is in {events}; references in your documents must be of this type")
        }
        (true, true) => {
            format!("guessed: it is in {events}, as a number; so must be references in your documents")
        }
    };
    if !id.others.is_empty() {
        about += &format!("; or is it {}?", id.others.join(", "));
    }
    let path = text(&id.path);
    let line = if id.is_int { format!("id: {{ from: {path}, type: int }}") } else { format!("id: {path}") };
    page.said(2, line, about);
}

/// Says whether only the owner can tell what is newer.
fn version(page: &mut Page, version: Option<&Version>) -> bool {
    let Some(version) = version else {
        page.note(2, "DECIDE: nothing in the events looks like a version. Is there a number, or a time, that rises with each change?");
        page.note(2, "version: data.version");
        return true;
    };
    let mut about = if version.rises {
        "guessed: it rises for one id"
    } else {
        "guessed by its name: it must rise with each change"
    }
    .to_owned();
    if version.is_time {
        about += "; a time is good only if the owner sets it with each change";
    }
    if !version.others.is_empty() {
        about += &format!("; or is it {}?", version.others.join(", "));
    }
    let path = text(&version.path);
    let line =
        if version.is_time { format!("version: {{ time: {path} }}") } else { format!("version: {path}") };
    page.said(2, line, about);
    false
}

fn fields(page: &mut Page, of: &Replica) {
    let line = |field: &Field| format!("{}: {}", text(&field.name), text(&field.path));
    let plain = |field: &&Field| field.kind == Kind::Plain;
    if !of.fields.iter().any(|field| plain(&field)) {
        let path = if of.id.path.starts_with("data") { of.id.path.as_str() } else { "data.id" };
        page.said(3, format!("id: {}", text(path)), "one field is needed: choose those that you show");
    }
    for field in of.fields.iter().filter(plain) {
        page.line(3, line(field));
    }
    for field in of.fields.iter().filter(|field| !plain(field)) {
        match field.kind {
            Kind::Personal => page.note(
                3,
                format!("{}  # DECIDE: it looks personal; keep it only if you show it", line(field)),
            ),
            Kind::Secret => {
                page.note(3, format!("{}  # it looks like a secret: leave it with its owner", line(field)));
            }
            Kind::Large | Kind::Plain => {
                page.note(3, format!("{}  # DECIDE: a list or an object; do you need it?", line(field)));
            }
        }
    }
}

fn reactions(page: &mut Page, of: &Replica, asked: Option<&Asked>) {
    // A patch needs answers that can be compared with it.
    let is_unversioned = asked.is_some_and(|asked| asked.version.is_none());
    for (kind, reaction) in &of.on {
        let kind = text(kind);
        match reaction {
            Reaction::Upsert => page.line(3, format!("{kind}: upsert")),
            Reaction::Delete => page.said(3, format!("{kind}: delete"), "guessed by its name"),
            Reaction::Patch if is_unversioned => page.said(
                3,
                format!("{kind}: refresh"),
                "guessed: it lacks fields that others have, and answers have no version, so the owner is asked",
            ),
            Reaction::Patch => page.said(
                3,
                format!("{kind}: patch"),
                "guessed: it lacks fields that others have; upsert, if they are then to go",
            ),
        }
    }
}

fn fetch(page: &mut Page, of: &Replica, asked: &Asked) {
    page.line(2, "fetch:");
    page.said(3, format!("url: {}", text(&asked.url)), "from its OpenAPI description");
    if let Some((url, _)) = &asked.batch {
        page.said(3, format!("batch: {}", text(url)), "DECIDE: ids are joined by commas");
    }
    page.line(3, "from:");
    match &asked.id {
        Some(id) => page.line(4, format!("id: {}", text(id))),
        None => page.said(
            4,
            format!("id: {}", text(&of.id.name)),
            "DECIDE: the description does not say where it is",
        ),
    }
    match (&asked.version, &of.version) {
        (Some(version), _) => page.line(4, format!("version: {}", text(version))),
        (None, Some(_)) => {
            page.note(4, "DECIDE: give answers a version; without one, they only fill what is missing");
        }
        (None, None) => {}
    }
    page.line(4, format!("data: {}", text(&asked.data)));
    if let Some((_, items)) = asked.batch.as_ref().filter(|(_, items)| !items.is_empty()) {
        page.line(4, format!("items: {}", text(items)));
    }
}
