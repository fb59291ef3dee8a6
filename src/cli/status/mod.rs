//! `nearcopy status`: how everything stands, on one screen, and what of it needs a person.

mod judge;
mod show;

use futures::future::join_all;
use serde_json::Value;

use super::check::queues;
use super::failure::report;
use super::{Exit, Failure, Outcome, Output, print, wiring};
use crate::replication::{Declaration, Level, StreamSpec};
use crate::settings::Settings;
use crate::source::rabbitmq::{self, Waiting};
use crate::store::Overview;
use crate::store::mongo::Mongo;

/// What is looked at.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    manifest: super::Manifest,
    /// The form of the answer.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// What was found in the database, and on the broker.
struct Seen {
    overview: Overview,
    inbound: Vec<Inbound>,
}

/// A queue or a stream that events come from.
struct Inbound {
    /// The source's name in the manifest.
    source: String,
    /// Its name on the broker.
    name: String,
    /// Whether it is a stream, which one pod at a time reads and from which nothing is taken away.
    is_stream: bool,
    /// The queue of its dead letters, where it is asked for them; partitions have one together.
    dead: Option<String>,
    waiting: Looked,
}

/// What the broker said.
enum Looked {
    Found(Waiting),
    Failed(String),
    /// No broker is named in the settings.
    Unasked,
}

/// Runs the command. It changes nothing.
pub(super) fn status(settings: &Settings, arguments: &Arguments) -> Outcome {
    settings.mongodb.url()?;
    let declaration = wiring::manifest(settings, &arguments.manifest.paths)?;
    let seen = wiring::block_on(|_| async {
        look(settings, &declaration, &wiring::mongodb(settings).await?).await
    })??;
    let needs = judge::needs(&declaration, &seen);
    let table = || show::table(&declaration, &seen, &needs);
    print(&arguments.output.say(table, || show::value(&declaration, &seen, &needs)))?;
    let is_well = needs.iter().all(|need| need.level < Level::Wrong);
    Ok(if is_well { Exit::Done } else { Exit::Failed })
}

/// The same for a program, beside a sidecar at work.
pub(super) async fn value(
    settings: &Settings,
    declaration: &Declaration,
    store: &Mongo,
) -> Result<Value, Failure> {
    let seen = look(settings, declaration, store).await?;
    Ok(show::value(declaration, &seen, &judge::needs(declaration, &seen)))
}

async fn look(settings: &Settings, declaration: &Declaration, store: &Mongo) -> Result<Seen, Failure> {
    let (overview, inbound) =
        tokio::join!(store.overview(declaration), look_at_broker(settings, declaration));
    Ok(Seen { overview: overview?, inbound })
}

async fn look_at_broker(settings: &Settings, declaration: &Declaration) -> Vec<Inbound> {
    let queues = queues(declaration).into_iter().flat_map(|whole| whole.parts()).map(|of| {
        let is_first = of.queue.part.is_none_or(|part| part.number == 0);
        (of.name.clone(), of.queue.name(), false, is_first.then(|| format!("{}.dead", of.queue.queue)))
    });
    let streams = declaration.streams.iter().flat_map(StreamSpec::parts);
    let streams = streams.map(|of| (of.name.clone(), of.stream.clone(), true, None));
    let options = wiring::rabbitmq(settings, &declaration.service).ok();
    let look = async |(source, name, is_stream, dead): (String, String, bool, Option<String>)| {
        let waiting = match &options {
            None => Looked::Unasked,
            Some(options) => match rabbitmq::waiting(&name, dead.as_deref(), options).await {
                Ok(found) => Looked::Found(found),
                Err(error) => Looked::Failed(report(&error)),
            },
        };
        Inbound { source, name, is_stream, dead, waiting }
    };
    join_all(queues.chain(streams).map(look)).await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::event::EntityType;
    use crate::manifest;
    use crate::replication::Standing;
    use crate::source::rabbitmq::Depth;
    use crate::store::{
        Backlog, Checkpoint, Frozen, Lease, Outbox, Position, Presence, ReadModelOverview, ReplicaOverview,
        States,
    };

    fn declared() -> Declaration {
        let text = include_str!("../../../tests/cli/good.yaml");
        manifest::parse("good.yaml", text, &|_| None).unwrap()
    }

    fn well(of: &Declaration) -> Seen {
        let pod = |id: &str, host: &str| Presence {
            id: id.into(),
            host: host.into(),
            version: "0.1.0".into(),
            epochs: BTreeMap::new(),
            is_own: false,
        };
        let replica = |name: &EntityType| ReplicaOverview {
            name: name.clone(),
            records: 13,
            states: Some(States { live: 12, gone: 0 }),
            backlog: Backlog { pending: 1, ..Backlog::default() },
            unanswered: 0,
            parked: 0,
            epoch: 0,
        };
        let inbound = |queue: String, source: String| Inbound {
            source,
            dead: Some(format!("{queue}.dead")),
            name: queue,
            is_stream: false,
            waiting: Looked::Found(Waiting {
                depth: Some(Depth { messages: 0, consumers: 2 }),
                dead: Some(0),
            }),
        };
        let lease = |name: &str, holder: &str| Lease { name: name.into(), holder: holder.into() };
        let overview = Overview {
            standing: Standing::Newest(1),
            newest: 1,
            pods: vec![pod("a", "web-1"), pod("b", "web-2")],
            replicas: of.replicas.iter().map(|of| replica(&of.name)).collect(),
            read_models: Vec::new(),
            leases: vec![lease("follow:orders", "a"), lease("rounds:users", "b"), lease("parked", "z")],
            positions: Vec::new(),
            parked_of_nobody: 0,
            outbox: Outbox::default(),
        };
        let sources = of.sources.iter().map(|of| inbound(of.queue.queue.clone(), of.name.clone()));
        Seen { overview, inbound: sources.collect() }
    }

    fn shown(of: &Declaration, seen: &Seen) -> String {
        show::table(of, seen, &judge::needs(of, seen))
    }

    #[test]
    fn one_screen_says_that_all_is_well() {
        let of = declared();
        insta::assert_snapshot!(shown(&of, &well(&of)), @r"
        order-service, generation 1
        pods at work: web-1 (0.1.0), web-2 (0.1.0)

        REPLICA  RECORDS  LIVE  PENDING  GONE  OWING  OUTDATED  LACKING  PARKED  EPOCH
        users    13       12    1        0     0      0         0        0       0

        SOURCE  QUEUE OR STREAM      WAITING  READERS  DEAD LETTERS
        users   order-service.users  0        2        0

        AT WORK ON     POD
        follow:orders  web-1
        rounds:users   web-2
        parked         another (z)

        all is well
        ");
    }

    fn in_trouble(of: &Declaration) -> Seen {
        let mut seen = well(of);
        seen.inbound[0].waiting =
            Looked::Found(Waiting { depth: Some(Depth { messages: 7, consumers: 0 }), dead: Some(3) });
        let users = &mut seen.overview.replicas[0];
        (users.parked, users.unanswered, users.states) = (2, 4, None);
        users.backlog.owing = 1;
        seen.overview.parked_of_nobody = 1;
        seen.overview.standing = Standing::Older(1);
        seen.overview.newest = 2;
        seen.overview.outbox = Outbox { waiting: 2, oldest: Some(90_000) };
        let checkpoint =
            |place, frozen| Checkpoint { frozen, ..Checkpoint::after(None, place, String::new()) };
        seen.overview.read_models = vec![ReadModelOverview {
            name: EntityType::new("counts"),
            at: vec![checkpoint(41, Some(Frozen::Still))],
            turned: Some(1_700_000_000_000),
            folded_by: None,
            documents: 5,
            held: 1,
            parked: 2,
            rebuilt: vec![checkpoint(17, None)],
        }];
        let position = bson::doc! { "rev": 1_i64, "s": 1, "embed": "order-user", "after": "o\u{1b}7" };
        let name = "fan-out:users:42".into();
        seen.overview.positions = vec![Position { name, at: Some(1_700_000_000_000), position }];
        seen
    }

    #[test]
    fn what_needs_a_person_is_said_with_the_command_that_helps() {
        let of = declared();
        let seen = in_trouble(&of);
        insta::assert_snapshot!(shown(&of, &seen), @r"
        order-service, generation 1
        pods at work: web-1 (0.1.0), web-2 (0.1.0)

        REPLICA  RECORDS  LIVE  PENDING  GONE  OWING  OUTDATED  LACKING  PARKED  EPOCH
        users    13       ?     1        ?     1      0         0        2       0

        SOURCE  QUEUE OR STREAM      WAITING  READERS  DEAD LETTERS
        users   order-service.users  7        0        3

        READ MODEL  STANDS AT  LAST TURN             DOCUMENTS  WAITING  PARKED  NOW
        counts      offset 41  2023-11-14T22:13:20Z  5          1        2       frozen, being rebuilt, at offset 17

        AT WORK ON     POD
        follow:orders  web-1
        rounds:users   web-2
        parked         another (z)

        HAS COME          AS OF                 TO
        fan-out:users:42  2023-11-14T22:13:20Z  o␛7 (order-user)

        look   this manifest is generation 1, and the newest is 2: what is of a newer one is left alone
        WRONG  `users`: nobody reads queue `order-service.users`; `nearcopy check --online`
        WRONG  `users`: 3 messages were dead-lettered into `order-service.users.dead`: they came back too often; `rabbitmqadmin get queue=order-service.users.dead count=3`
        WRONG  `users`: 2 events are parked; `nearcopy parked list --replica users`
        WRONG  `users`: 4 records are pending though the owner was asked for them again and again; `nearcopy check --online`
        WRONG  `counts`: 1 documents wait for 2 parked events; `nearcopy parked list --replica counts`
        WRONG  1 events are parked that nobody could read; `nearcopy parked list`
        WRONG  2 messages of rules wait to be told, the oldest for 90 s: an exchange may not be declared; `nearcopy check --online`
        ");
    }

    #[test]
    fn a_program_gets_all_that_is_seen() {
        let of = declared();
        let seen = in_trouble(&of);
        let value = show::value(&of, &seen, &judge::needs(&of, &seen));
        let users = json!({
            "name": "users", "records": 13, "live": null, "pending": 1, "gone": null, "owing": 1, "outdated": 0,
            "lacking": 0, "unanswered": 4, "parked": 2, "epoch": 0,
        });
        assert_eq!(value["replicas"], json!([users]));
        let queue = json!({
            "source": "users", "kind": "queue", "name": "order-service.users", "messages": 7, "readers": 0,
            "deadLetters": 3, "error": null,
        });
        assert_eq!(value["sources"], json!([queue]));
        assert_eq!(value["readModels"][0]["rebuiltTo"], 17);
        assert_eq!(value["positions"][0]["after"], "o\u{1b}7 (order-user)");
        assert_eq!(value["outbox"], json!({ "waiting": 2, "oldestMs": 90_000 }));
        let parked = json!({
            "level": "wrong", "text": "`users`: 2 events are parked", "command": "nearcopy parked list --replica users",
        });
        assert!(value["needs"].as_array().is_some_and(|needs| needs.contains(&parked)), "{value:#}");
    }

    #[test]
    fn a_broker_that_is_away_or_not_named_is_said_to_be() {
        let of = declared();
        let mut seen = well(&of);
        seen.overview.pods.clear();
        seen.inbound[0].waiting = Looked::Unasked;
        insta::assert_snapshot!(shown(&of, &seen), @r"
        order-service, generation 1
        pods at work: none

        REPLICA  RECORDS  LIVE  PENDING  GONE  OWING  OUTDATED  LACKING  PARKED  EPOCH
        users    13       12    1        0     0      0         0        0       0

        SOURCE  QUEUE OR STREAM      WAITING                      READERS  DEAD LETTERS
        users   order-service.users  ? (rabbitmq.url is not set)  ?        ?

        AT WORK ON     POD
        follow:orders  another (a)
        rounds:users   another (b)
        parked         another (z)

        WRONG  no pod is at work, so nothing is replicated; `nearcopy check --online`
        ");
        seen.inbound[0].waiting = Looked::Failed("cannot connect to RabbitMQ at broker:5672/shop".into());
        let needs = judge::needs(&of, &seen);
        let says: Vec<String> = needs.iter().map(|need| need.text.clone()).collect();
        assert!(says.iter().any(|text| text.contains("cannot connect")), "{says:?}");
    }
}
