//! Users change, and so must all products that show them: by nearcopy, and by the bare updates that it comes down to.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bson::{Bson, Document, doc};
use futures::TryStreamExt;
use futures::stream::{self, StreamExt};
use mongodb::IndexModel;
use tokio::time::{Instant, sleep};

use crate::contender::{Arena, Contender};
use crate::event::{Event, Workload};
use crate::manifest::manifest;
use crate::meter::Meter;
use crate::metrics::metric;
use crate::process::Process;
use crate::report::note;
use crate::result::FanOut;
use crate::throughput::last_visible;

pub(crate) const PRODUCTS: &str = "products";
pub(crate) const EMBED: &str = "embeds:
  product-user: { in: products, ref: userId, from: users, into: user, fields: [username, email] }
";
/// Users, and products of each.
const GROUPINGS: [(u32, u32); 5] = [(20_000, 1), (5_000, 10), (500, 100), (10, 10_000), (1, 1_000_000)];
/// From so many documents on once is enough.
const MANY: u32 = 1_000_000;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(400);
/// How many statements the bare updates have in a command, and how many commands are under way.
const STATEMENTS: usize = 100;
const IN_FLIGHT: usize = 2;

/// Users with so many products each.
struct Grouping<'a> {
    arena: &'a Arena,
    users: u32,
    each: u32,
}

/// Measures all groupings.
pub(crate) async fn measure(arena: &Arena, rounds: usize) -> Result<Vec<FanOut>> {
    let mut all = Vec::new();
    for (users, each) in GROUPINGS {
        let rounds = if users * each < MANY { rounds } else { 1 };
        let grouping = Grouping { arena, users, each };
        all.extend(
            grouping.measure(rounds).await.with_context(|| format!("{users} users × {each} products"))?,
        );
    }
    Ok(all)
}

impl Grouping<'_> {
    /// First nearcopy, then, without it, the bare updates upon the very same documents.
    async fn measure(&self, rounds: usize) -> Result<Vec<FanOut>> {
        let (arena, mut all, mut version) = (self.arena, Vec::new(), 1);
        arena.database.renew().await?;
        let link = arena.broker.renew().await?;
        let mut process = arena.start(Contender::Nearcopy, &manifest(EMBED))?;
        link.publish(&Workload::each_once(self.users, version).events).await?;
        self.furnish(&mut process).await?;
        for _ in 0..rounds {
            version += 1;
            // What is published while nobody can run is there at once when it goes on.
            let workload = Workload::each_once(self.users, version);
            process.signal("-STOP")?;
            link.publish(&workload.events).await?;
            arena.database.settle().await?;
            let meter = Meter::start(process.id());
            process.signal("-CONT")?;
            let ended = self.all_show(version, &mut process).await?;
            all.push(self.note(Contender::Nearcopy, &meter, ended));
            last_visible(arena, &mut process, workload.last, PATIENCE).await?;
            quiet(&process).await?;
        }
        process.stop().await?;
        for _ in 0..rounds {
            version += 1;
            arena.database.settle().await?;
            let meter = Meter::start(std::process::id());
            self.update(version).await?;
            all.push(self.note(Contender::Raw, &meter, Instant::now()));
            self.check(version).await?;
        }
        link.close().await?;
        Ok(all)
    }

    fn note(&self, contender: Contender, meter: &Meter, ended: Instant) -> FanOut {
        let cost = meter.read(ended, (self.users * self.each) as usize);
        let contender = contender.name().to_owned();
        let measured = FanOut { contender, users: self.users, documents_each: self.each, cost };
        note(&format!(
            "fan-out {:>6} × {:<9} {:<10} {:>8.0} documents/s",
            self.users,
            self.each,
            measured.contender,
            measured.per_second()
        ));
        measured
    }

    /// Puts the products in place as they would be after a while, each with its user and nearcopy's stamp, and
    /// waits until nearcopy has seen them.
    async fn furnish(&self, process: &mut Process) -> Result<()> {
        let products = self.arena.database.durable(PRODUCTS);
        last_visible(self.arena, process, Event { user: self.users, version: 1 }, PATIENCE).await?;
        products.create_index(IndexModel::builder().keys(doc! { "userId": 1 }).build()).await?;
        products.insert_one(product("template", 0)).await?;
        let template = wait_for(&self.arena.database.raw, "template").await?;
        self.multiply(template).await?;
        products.insert_one(product("a-probe", 0)).await?;
        wait_for(&self.arena.database.raw, "a-probe").await?;
        quiet(process).await?;
        products.delete_one(doc! { "_id": "a-probe" }).await?;
        self.check(1).await
    }

    /// The database multiplies the first product by itself.
    async fn multiply(&self, template: Document) -> Result<()> {
        let database = &self.arena.database.raw;
        database.collection::<Document>("seed").insert_one(template).await?;
        let user = doc! { "$concat": ["u", { "$toString": "$user_number" }] };
        let named = |rest: &str| doc! { "$concat": ["user-", { "$toString": "$user_number" }, "-1", rest] };
        let id = doc! { "$concat": ["p", { "$toString": "$user_number" }, "-", { "$toString": "$number" }] };
        let pipeline = [
            // Products of one user do not lie side by side, but where they happened to be inserted.
            doc! { "$set": { "number": { "$range": [0, self.each] } } },
            doc! { "$unwind": "$number" },
            doc! { "$set": { "user_number": { "$range": [0, self.users] } } },
            doc! { "$unwind": "$user_number" },
            doc! { "$set": {
                "_id": id,
                "userId": &user,
                "user": { "username": named(""), "email": named("@example.org") },
                "_nearcopy.product-user.ref": &user,
            } },
            doc! { "$unset": ["number", "user_number"] },
            doc! { "$out": PRODUCTS },
        ];
        database.collection::<Document>("seed").aggregate(pipeline).await?;
        Ok(())
    }

    /// Waits until all products show this version. nearcopy's own count says when to look.
    async fn all_show(&self, version: u32, process: &mut Process) -> Result<Instant> {
        let wanted = f64::from(self.users * self.each) * f64::from(version - 1);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = Instant::now();
            process.is_sound()?;
            // One that is about to go on does not answer yet.
            let counted = metric("nearcopy_fan_out_documents_total").await.unwrap_or_default();
            if counted >= wanted && self.check(version).await.is_ok() {
                return Ok(now);
            }
            ensure!(now < deadline, "not all products show the change");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Fails unless each product shows its user as of this version.
    async fn check(&self, version: u32) -> Result<()> {
        let seen = doc! { "_id": { "user": "$userId", "name": "$user.username" }, "count": { "$sum": 1 } };
        let products = self.arena.database.durable(PRODUCTS);
        let groups: Vec<Document> =
            products.aggregate([doc! { "$group": seen }]).await?.try_collect().await?;
        ensure!(groups.len() == self.users as usize, "{} groups of products", groups.len());
        for group in groups {
            let id = group.get_document("_id")?;
            let user = id.get_str("user")?.trim_start_matches('u').parse()?;
            let event = Event { user, version };
            let count = group.get("count").and_then(Bson::as_i32).unwrap_or_default();
            let same = id.get_str("name").is_ok_and(|name| name == event.username());
            ensure!(same && u32::try_from(count)? == self.each, "{group} at version {version}");
        }
        Ok(())
    }

    /// One update of many documents for each user, guarded as nearcopy's is, and writing the same.
    async fn update(&self, version: u32) -> Result<()> {
        let events = Workload::each_once(self.users, version).events;
        let events = &events[..events.len() - 1];
        let most = STATEMENTS.min(events.len().div_ceil(IN_FLIGHT));
        let commands = events.chunks(most).map(|events| {
            let statements: Vec<Document> = events.iter().map(|event| statement(*event)).collect();
            let command = doc! {
                "update": PRODUCTS,
                "updates": statements,
                "ordered": false,
                "writeConcern": { "w": "majority", "j": true },
            };
            let database = self.arena.database.raw.clone();
            async move { database.run_command(command).await }
        });
        let commands: Vec<_> = commands.collect();
        let mut replies = stream::iter(commands).buffer_unordered(IN_FLIGHT);
        while let Some(reply) = replies.try_next().await? {
            ensure!(!reply.contains_key("writeErrors"), "{reply}");
        }
        Ok(())
    }
}

fn statement(event: Event) -> Document {
    let stamp = "_nearcopy.product-user";
    let version = i64::from(event.version);
    doc! {
        "q": { "userId": event.id(), format!("{stamp}.raw"): { "$not": { "$gte": version } } },
        "u": { "$set": {
            "user": { "username": event.username(), "email": event.email() },
            format!("{stamp}.raw"): version,
            format!("{stamp}.ref"): event.id(),
        } },
        "multi": true,
    }
}

/// A product of about 470 bytes, with its user embedded.
pub(crate) fn product(id: impl Into<Bson>, user: u32) -> Document {
    doc! {
        "_id": id,
        "userId": format!("u{user}"),
        "name": "A product of some kind",
        "description": "what one would say of a product ".repeat(6),
        "price": 1990,
        "currency": "EUR",
        "tags": ["new", "small"],
    }
}

/// Waits until a product shows its user.
async fn wait_for(database: &mongodb::Database, id: &str) -> Result<Document> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = database.collection::<Document>(PRODUCTS).find_one(doc! { "_id": id }).await?;
        if let Some(found) = found.filter(|found| found.contains_key("user")) {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "product {id} does not show its user");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a process has done next to nothing for a while.
pub(crate) async fn quiet(process: &Process) -> Result<()> {
    const LOOKS: u32 = 4;
    let deadline = Instant::now() + PATIENCE;
    let group = crate::usage::Group::only(process.id());
    let mut looks = 0;
    while looks < LOOKS {
        let before = group.cpu_us();
        sleep(Duration::from_millis(500)).await;
        looks = if group.cpu_us() - before <= 20_000 { looks + 1 } else { 0 };
        ensure!(Instant::now() < deadline, "it does not come to rest");
    }
    Ok(())
}
