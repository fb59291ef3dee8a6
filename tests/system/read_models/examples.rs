//! The examples as teams run them: a festival whose teams and events keep each other's ids, and bookings beside news.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bson::{Bson, DateTime, Document, doc};
use lapin::BasicProperties;
use serde_json::json;
use tokio::time::sleep;

use crate::consumer::Consumer;
use crate::owner_service::{Owner, Reply};
use crate::rabbitmq::{Broker, eventually};
use crate::sidecar::Plan;

/// What a festival must look like: each event with its teams, each team with its event.
#[derive(Default)]
struct Festival {
    rng: fastrand::Rng,
    number: u64,
    events: BTreeSet<String>,
    teams: BTreeMap<String, String>,
}

impl Festival {
    /// What happens next, as it is published.
    fn goes_on(&mut self) -> String {
        self.number += 1;
        let number = self.number;
        let events: Vec<String> = self.events.iter().cloned().collect();
        let teams: Vec<(String, String)> = self.teams.clone().into_iter().collect();
        let (kind, data) = match self.rng.u32(0..10) {
            0 | 1 => {
                self.events.insert(format!("e{number}"));
                ("EventPlanned", json!({ "eventId": format!("e{number}"), "title": "A title" }))
            }
            2..=5 if !events.is_empty() => {
                let event = self.rng.choice(&events).unwrap();
                self.teams.insert(format!("t{number}"), event.clone());
                ("TeamCreated", json!({ "teamId": format!("t{number}"), "name": "A name", "eventId": event }))
            }
            6 | 7 if !teams.is_empty() => {
                let (team, from) = self.rng.choice(&teams).unwrap();
                let to = self.rng.choice(&events).unwrap();
                self.teams.insert(team.clone(), to.clone());
                ("TeamMoved", json!({ "teamId": team, "from": from, "to": to }))
            }
            8 if !teams.is_empty() => {
                let (team, _) = self.rng.choice(&teams).unwrap();
                self.teams.remove(team);
                ("TeamDropped", json!({ "teamId": team }))
            }
            9 if events.len() > 3 => {
                let event = self.rng.choice(&events).unwrap();
                self.events.remove(event);
                self.teams.retain(|_, of| of != event);
                ("EventCancelled", json!({ "eventId": event }))
            }
            _ => ("SomethingElse", json!({})),
        };
        json!({ "id": format!("f{number}"), "type": kind, "at": "2026-01-01T00:00:00Z", "data": data })
            .to_string()
    }

    /// Each event with its teams.
    fn listed(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut listed: BTreeMap<String, BTreeSet<String>> =
            self.events.iter().map(|event| (event.clone(), BTreeSet::new())).collect();
        for (team, event) in &self.teams {
            listed.entry(event.clone()).or_default().insert(team.clone());
        }
        listed
    }
}

/// Whether the documents are as the festival is.
async fn is_kept(consumer: &Consumer, festival: &Festival) -> bool {
    let text = |document: &Document, name: &str| document.get_str(name).unwrap_or_default().to_owned();
    let teams: BTreeMap<String, String> =
        consumer.all("teams").await.iter().map(|team| (text(team, "_id"), text(team, "eventId"))).collect();
    let ids = |event: &Document| {
        let ids = event.get_array("teamIds").unwrap().iter();
        ids.map(|id| id.as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let events: BTreeMap<_, _> =
        consumer.all("events").await.iter().map(|event| (text(event, "_id"), ids(event))).collect();
    teams == festival.teams && events == festival.listed()
}

/// Created, moved, dropped, cancelled in any order, while the process is killed: at rest each knows the other.
#[tokio::test]
async fn teams_and_events_of_a_festival_keep_each_others_ids() {
    let (broker, consumer) = tokio::join!(Broker::new(), Consumer::new());
    broker.declare_stream("festival-events").await;
    let festival = include_str!("../../../config/examples/festival.yaml");
    let plan = Plan::new(festival.into(), &broker.url(), consumer.url());
    let mut is_so = Festival { rng: fastrand::Rng::with_seed(7), ..Festival::default() };
    let mut sidecar = plan.start().await;
    for round in 0..4 {
        let events: Vec<String> = (0..500).map(|_| is_so.goes_on()).collect();
        broker.publish_with("", "festival-events", events, BasicProperties::default()).await;
        sleep(Duration::from_millis(100 * round)).await;
        sidecar.kill();
        sidecar = plan.start().await;
    }
    assert!(is_so.teams.len() > 50, "a festival that is worth the name");
    eventually("each knows the other", async || is_kept(&consumer, &is_so).await).await;
    sidecar.stop().await;
    consumer.remove().await;
    broker.remove().await;
}

/// A CloudEvent of a client.
fn client(id: &str, sequence: u64, kind: &str, name: &str) -> String {
    json!({
        "specversion": "1.0", "id": format!("{id}-{sequence}"), "source": "/clients", "subject": id,
        "type": format!("com.example.client.{kind}"), "sequence": sequence.to_string(),
        "data": { "firstName": "Ann", "lastName": "Lee", "displayName": name },
    })
    .to_string()
}

/// An event of the catalogue, which knows no versions but times.
fn service(id: i64, second: u64, kind: &str, name: &str) -> String {
    json!({
        "id": format!("s{id}-{second}"), "type": format!("service.{kind}"), "at": format!("2026-01-01T00:00:{second:02}Z"),
        "payload": { "id": id, "name": name, "price": "49.90" },
    })
    .to_string()
}

async fn booking_is(consumer: &Consumer, what: &str, fields: Document) {
    let shows = |booking: &Document| fields.iter().all(|(name, value)| booking.get(name) == Some(value));
    consumer.until("bookings", "b1", what, shows).await;
}

/// Two owners in one document, and a count beside them.
#[tokio::test]
async fn bookings_show_two_owners_and_news_count_their_comments() {
    let (broker, consumer, owner) = tokio::join!(Broker::new(), Consumer::new(), Owner::start());
    owner.answers(|_, _| {
        let known = json!({ "id": "c1", "firstName": "Ann", "lastName": "Lee", "displayName": "Ann Lee" });
        Reply::json(&json!({ "client": known, "etag": 1 }))
    });
    for exchange in ["clients", "catalogue"] {
        broker.declare_exchange(exchange).await;
    }
    let recorded = doc! { "create": "comments", "changeStreamPreAndPostImages": { "enabled": true } };
    consumer.run(recorded).await;
    let comment =
        |id: &str| doc! { "_id": id, "newsId": "n1", "at": DateTime::from_millis(1_767_225_600_000) };
    consumer.collection("comments").insert_one(comment("x")).await.unwrap();
    let bookings = include_str!("../../../config/examples/bookings.yaml");
    let plan = Plan::new(bookings.into(), &broker.url(), consumer.url())
        .variable("CLIENT_SERVICE_URL", &owner.url());
    let sidecar = plan.start().await;
    broker.publish("catalogue", "service.created", [service(7, 1, "created", "Massage")]).await;
    let booking = doc! { "_id": "b1", "clientId": "c1", "serviceId": 7 };
    consumer.collection("bookings").insert_one(booking).await.unwrap();
    booking_is(&consumer, "both are shown", doc! { "client_name": "Ann Lee", "service_name": "Massage" })
        .await;

    let cloud_event = || BasicProperties::default().with_content_type("application/cloudevents+json".into());
    let changed = [client("c1", 2, "changed", "Ann Ray")];
    broker.publish_with("clients", "client.changed", changed, cloud_event()).await;
    broker.publish("catalogue", "service.renamed", [service(7, 2, "renamed", "Sauna")]).await;
    booking_is(&consumer, "both have changed", doc! { "client_name": "Ann Ray", "service_name": "Sauna" })
        .await;

    consumer.collection("comments").insert_many([comment("y"), comment("z")]).await.unwrap();
    let counted = |number: i64| move |news: &Document| news.get("comments") == Some(&Bson::Int64(number));
    consumer.until("news", "n1", "what stood there is counted, and what came", counted(3)).await;
    let say = doc! { "$set": { "text": "Oh!" } };
    consumer.collection("comments").update_one(doc! { "_id": "z" }, say).await.unwrap();
    consumer.collection("comments").delete_one(doc! { "_id": "y" }).await.unwrap();
    let news = consumer.until("news", "n1", "one is gone", counted(2)).await;
    assert_eq!(news.get_datetime("lastComment").unwrap().timestamp_millis(), 1_767_225_600_000);

    let erased = [client("c1", 3, "erased", "")];
    broker.publish_with("clients", "client.erased", erased, cloud_event()).await;
    let gone =
        |booking: &Document| !booking.contains_key("client_name") && booking.contains_key("service_name");
    consumer.until("bookings", "b1", "an erased client's name goes", gone).await;
    sidecar.stop().await;
    consumer.remove().await;
    broker.remove().await;
}
