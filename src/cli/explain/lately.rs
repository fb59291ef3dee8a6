//! What pods remember of it: the events, questions and deeds that the database does not tell of any more.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::failure::report;
use super::super::table::{lines, visible};
use crate::fetch::ask_pod;
use crate::replication::UrlTemplate;
use crate::settings::Settings;

/// What one pod said, or why it did not.
struct Told {
    pod: String,
    said: Result<Value, String>,
}

/// What all that were asked said.
pub(super) struct Lately(Vec<Told>);

/// Asks the pods at these addresses; without any, the one whose address the settings have.
pub(super) async fn ask(settings: &Settings, pods: &[String], of: &str, id: &str) -> Lately {
    let own = || {
        let mut address = settings.admin.listen;
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv6() {
                std::net::Ipv6Addr::LOCALHOST.into()
            } else {
                std::net::Ipv4Addr::LOCALHOST.into()
            });
        }
        vec![format!("http://{address}")]
    };
    let pods = if pods.is_empty() { own() } else { pods.to_vec() };
    let asked = pods.into_iter().map(|pod| async move {
        let said = ask_one(&pod, of, id).await;
        Told { pod, said }
    });
    Lately(futures::future::join_all(asked).await)
}

async fn ask_one(pod: &str, of: &str, id: &str) -> Result<Value, String> {
    let url = format!("{}/timeline/{of}/{{id}}", pod.trim_end_matches('/'));
    let url = UrlTemplate::parse(&url, "id")?.expand_value(id);
    let body = ask_pod(&url).await.map_err(|error| report(&error).replace("the owner", "it"))?;
    let said: Value = serde_json::from_str(&body).map_err(|_| "its answer is no JSON".to_owned())?;
    if said["notes"].is_array() { Ok(said) } else { Err("what answers there is no pod".to_owned()) }
}

impl Lately {
    /// All notes in the order of their time, and how far they reach.
    pub(super) fn table(&self) -> String {
        let several = self.0.len() > 1;
        let mut notes: Vec<(Option<Timestamp>, String)> = Vec::new();
        for Told { pod, said } in &self.0 {
            for note in said.iter().filter_map(|said| said["notes"].as_array()).flatten() {
                let at = note["at"].as_str().unwrap_or("-");
                let place = if several { format!("  at {pod}") } else { String::new() };
                notes.push((at.parse().ok(), visible(&format!("{at}  {}{place}", in_words(note)))));
            }
        }
        notes.sort_by_key(|(at, _)| *at);
        let mut rows: Vec<(&str, String)> = notes.into_iter().map(|(_, text)| ("lately", text)).collect();
        rows.extend(self.0.iter().map(|told| ("remembers", visible(&told.reach()))));
        lines(&rows)
    }

    pub(super) fn value(&self) -> Value {
        let told = |Told { pod, said }: &Told| match said {
            Ok(said) => {
                let mut said = said.clone();
                said["pod"] = pod.as_str().into();
                said
            }
            Err(why) => json!({ "pod": pod, "error": why }),
        };
        self.0.iter().map(told).collect()
    }
}

impl Told {
    /// How far the memory of this pod reaches.
    fn reach(&self) -> String {
        let pod = &self.pod;
        match &self.said {
            Err(why) => format!("{pod} cannot be asked: {why}; `--pod` names others"),
            Ok(said) if said["remembers"] == 0 => format!("{pod} remembers nothing: `explain.remember` is 0"),
            Ok(said) => {
                let since = |name: &str| said[name].as_str().unwrap_or("-").to_owned();
                format!(
                    "{pod}: events since {}, all else since {}; other pods may know more, `--pod` asks them",
                    since("eventsSince"),
                    since("othersSince")
                )
            }
        }
    }
}

/// A note for a person.
fn in_words(note: &Value) -> String {
    let text = |name: &str| note[name].as_str().unwrap_or_default().to_owned();
    let version = note["version"].as_i64().map(|version| format!(", version {version}")).unwrap_or_default();
    let event =
        note["event"].as_str().map_or("an event without an id".to_owned(), |id| format!("event {id}"));
    match note["what"].as_str().unwrap_or_default() {
        "event" => format!("{event}{version}: {}", outcome(&text("outcome"))),
        "listed" => format!("the owner listed it{version}: {}", outcome(&text("outcome"))),
        "parked" => format!("{event}{version}: put aside, {}", text("reason")),
        "wanted" => "wanted, and not known until then".to_owned(),
        "asked" => {
            let brought = if note["brought"] == true { "brought in" } else { "nothing new" };
            format!("the owner was asked: {}{version}, {brought}", text("said"))
        }
        "fannedOut" => format!("documents that show it were brought in line, by {}", text("embed")),
        "fanOutBegun" => "many documents show it: page by page from then on".to_owned(),
        "fanOutEnded" => "all of these show it as it is".to_owned(),
        "hydrated" => format!("looked at after a change, for {}", text("embed")),
        "retired" => "nobody referred to it, and it was removed".to_owned(),
        other => other.to_owned(),
    }
}

/// What became of an event, and why.
fn outcome(word: &str) -> &str {
    match word {
        "applied" => "written",
        "stale" => "nothing, since something newer was held",
        "duplicate" => "nothing, since the very same was held",
        "ignored" => "nothing, since nobody wanted it",
        "deferred" => "the owner is to be asked",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pods_remember_stands_in_the_order_of_time() {
        let one = json!({
            "remembers": 4000, "eventsSince": "2026-01-01T00:00:05Z", "othersSince": "2026-01-01T00:00:00Z",
            "notes": [
                { "at": "2026-01-01T00:00:06Z", "what": "event", "event": "e\u{1b}1", "version": 7, "outcome": "stale" },
                { "at": "2026-01-01T00:00:09Z", "what": "parked", "event": null, "version": null, "reason": "bad_version" },
            ],
        });
        let other = json!({
            "remembers": 4000, "eventsSince": "2026-01-01T00:00:00Z", "othersSince": "2026-01-01T00:00:00Z",
            "notes": [{ "at": "2026-01-01T00:00:07Z", "what": "asked", "said": "found", "version": 8, "brought": true }],
        });
        let silent = "it did not answer: connection refused".to_owned();
        let lately = Lately(vec![
            Told { pod: "http://a:1".into(), said: Ok(one) },
            Told { pod: "http://b:1".into(), said: Ok(other) },
            Told { pod: "http://c:1".into(), said: Err(silent) },
            Told { pod: "http://d:1".into(), said: Ok(json!({ "remembers": 0, "notes": [] })) },
        ]);
        insta::assert_snapshot!(lately.table(), @r"
        lately     2026-01-01T00:00:06Z  event e␛1, version 7: nothing, since something newer was held  at http://a:1
        lately     2026-01-01T00:00:07Z  the owner was asked: found, version 8, brought in  at http://b:1
        lately     2026-01-01T00:00:09Z  an event without an id: put aside, bad_version  at http://a:1
        remembers  http://a:1: events since 2026-01-01T00:00:05Z, all else since 2026-01-01T00:00:00Z; other pods may know more, `--pod` asks them
        remembers  http://b:1: events since 2026-01-01T00:00:00Z, all else since 2026-01-01T00:00:00Z; other pods may know more, `--pod` asks them
        remembers  http://c:1 cannot be asked: it did not answer: connection refused; `--pod` names others
        remembers  http://d:1 remembers nothing: `explain.remember` is 0
        ");
    }
}
