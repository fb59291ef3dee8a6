//! A MongoDB of several members of our own, which may be killed.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use mongodb::{Client, Database};
use tokio::time::timeout;

use super::process::{Place, Process, free_port, services};
use super::{eventually, secret};

/// The consumer's database.
pub(crate) const DATABASE: &str = "shop";
/// How many members there are, where they fail, too.
pub(crate) const MEMBERS: usize = 3;
/// How long one question to one member may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Members, each with a connection to it alone.
pub(crate) struct ReplicaSet {
    members: Vec<Member>,
}

struct Member {
    process: Process,
    port: u16,
    folder: PathBuf,
    admin: Database,
}

impl ReplicaSet {
    /// Starts so many members with a log of that many megabytes, and waits for a primary.
    pub(crate) async fn start(place: &Place, count: usize, oplog: u32) -> Result<Self> {
        let program = services("mongod")?;
        let mut members = Vec::new();
        for number in 0..count {
            members.push(member(place, &program, number, oplog).await?);
        }
        let set = Self { members };
        let hosts = set.members.iter().zip(0..);
        let hosts: Vec<Document> =
            hosts.map(|(member, number)| doc! { "_id": number, "host": address(member.port) }).collect();
        let settings = doc! { "electionTimeoutMillis": 2_000, "heartbeatIntervalMillis": 500 };
        let config = doc! { "_id": "set", "members": hosts, "settings": settings };
        eventually("the set is initiated", Duration::from_secs(30), async || {
            match set.run(0, doc! { "replSetInitiate": config.clone() }).await {
                Err(error) if !format!("{error:#}").contains("AlreadyInitialized") => Err(error),
                _ => Ok(()),
            }
        })
        .await?;
        let primary = set.elected(&[]).await?;
        let role = doc! { "role": "readWrite", "db": DATABASE };
        let user = doc! { "createUser": "nearcopy", "pwd": secret("database"), "roles": [role] };
        set.run(primary, user).await?;
        Ok(set)
    }

    /// Where nobody stands between: for the consumer and the oracle.
    pub(crate) fn url(&self) -> String {
        url_at(&self.authorities())
    }

    /// Host and port of each member.
    pub(crate) fn authorities(&self) -> Vec<String> {
        self.members.iter().map(|member| address(member.port)).collect()
    }

    /// The numbers of the processes that run.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.members.iter().filter_map(|member| member.process.id()).collect()
    }

    /// A connection to one member alone.
    pub(crate) fn client(&self, member: usize) -> &Client {
        self.members[member].admin.client()
    }

    /// Runs a command on one member.
    pub(crate) async fn run(&self, member: usize, command: Document) -> Result<Document> {
        let admin = &self.members[member].admin;
        timeout(PATIENCE, admin.run_command(command))
            .await
            .context("a member does not answer")?
            .context("a member")
    }

    /// The oldest entry of a member's log, or with a direction of -1 the newest.
    pub(crate) async fn first_of_log(&self, member: usize, direction: i32) -> Result<Document> {
        let log = self.members[member].admin.client().database("local").collection::<Document>("oplog.rs");
        let finding = log.find_one(doc! {}).sort(doc! { "$natural": direction });
        timeout(PATIENCE, finding.into_future()).await.context("a member does not answer")??.context("no log")
    }

    /// Which member is the primary, of those that are not left out; waits for one.
    pub(crate) async fn elected(&self, but: &[usize]) -> Result<usize> {
        eventually("the set has a primary", Duration::from_secs(60), async || {
            for member in (0..self.members.len()).filter(|member| !but.contains(member)) {
                let hello = self.run(member, doc! { "hello": 1 }).await;
                if hello.is_ok_and(|hello| hello.get_bool("isWritablePrimary").unwrap_or_default()) {
                    return Ok(member);
                }
            }
            anyhow::bail!("no member calls itself primary")
        })
        .await
    }

    /// Whether a member follows the primary, or is it.
    pub(crate) async fn is_well(&self, member: usize) -> Result<()> {
        let hello = self.run(member, doc! { "hello": 1 }).await?;
        let holds = |name| hello.get_bool(name).unwrap_or_default();
        ensure!(holds("isWritablePrimary") || holds("secondary"), "member {member} is neither");
        Ok(())
    }

    /// SIGKILL for one member.
    pub(crate) fn kill(&mut self, member: usize) -> Result<()> {
        self.members[member].process.kill()
    }

    /// Starts one again.
    pub(crate) fn launch(&mut self, member: usize) -> Result<()> {
        self.members[member].process.start()
    }

    /// Starts again all that were killed, and waits until all are well.
    pub(crate) async fn heal(&mut self) -> Result<()> {
        for member in &mut self.members {
            if !member.process.is_started() {
                member.process.start()?;
            }
        }
        for member in 0..self.members.len() {
            for point in ["failCommand", "stopReplProducer"] {
                let off = doc! { "configureFailPoint": point, "mode": "off" };
                eventually("a fault is taken back", Duration::from_secs(30), async || {
                    self.run(member, off.clone()).await
                })
                .await?;
            }
        }
        self.elected(&[]).await?;
        for member in 0..self.members.len() {
            eventually("a member is well", Duration::from_secs(60), async || self.is_well(member).await)
                .await?;
        }
        Ok(())
    }

    /// How many files of writes rolled back a member has.
    pub(crate) fn rolled_back(&self, member: usize) -> usize {
        let mut folders = vec![self.members[member].folder.join("rollback")];
        let mut count = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.path() {
                    path if path.is_dir() => folders.push(path),
                    _ => count += 1,
                }
            }
        }
        count
    }
}

/// The address with which the consumer's programs connect by way of these hosts and ports.
pub(crate) fn url_at(authorities: &[String]) -> String {
    let password = secret("database");
    format!(
        "mongodb://nearcopy:{password}@{}/{DATABASE}?replicaSet=set&authSource=admin",
        authorities.join(",")
    )
}

async fn member(place: &Place, program: &str, number: usize, oplog: u32) -> Result<Member> {
    let (port, folder) = (free_port()?, place.folder.join(format!("mongod-{number}")));
    std::fs::create_dir_all(&folder)?;
    let mut process = place.process(&format!("mongod-{number}"), program).arguments([
        "--replSet",
        "set",
        "--bind_ip",
        "127.0.0.1",
        "--nounixsocket",
        "--wiredTigerCacheSizeGB",
        "0.5",
        "--setParameter",
        "enableTestCommands=1",
        "--setParameter",
        "diagnosticDataCollectionEnabled=false",
        "--oplogSize",
        &oplog.to_string(),
        "--port",
        &port.to_string(),
        "--dbpath",
        &folder.display().to_string(),
        "--quiet",
    ]);
    process.start()?;
    let url = format!("mongodb://{}/?directConnection=true&serverSelectionTimeoutMS=1000", address(port));
    let admin = Client::with_uri_str(url).await?.database("admin");
    Ok(Member { process, port, folder, admin })
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}
