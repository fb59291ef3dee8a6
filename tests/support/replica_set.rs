//! Three members of a replica set, which can be stopped, killed, kept from copying, and made to fail.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::mongodb::Client;
use bson::{Bson, Document, doc};

use crate::mongodb::services;
use crate::port::free_port;
use crate::rabbitmq::eventually;

/// Three servers of this machine, gone with the test.
pub(crate) struct ReplicaSet {
    program: String,
    members: Vec<Member>,
    folder: PathBuf,
}

struct Member {
    process: Child,
    port: u16,
}

impl ReplicaSet {
    /// Starts three members and waits for their primary.
    pub(crate) async fn start() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (program, count) = (services("mongod"), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(format!("nearcopy-set-{}-{count}", std::process::id()));
        let members: Vec<Member> =
            (0..3).map(|number| launch(&program, &folder.join(number.to_string()), free_port())).collect();
        let set = Self { program, members, folder };
        let hosts = set.members.iter().enumerate();
        let hosts: Vec<Document> = hosts
            .map(|(number, member)| doc! { "_id": i32::try_from(number).unwrap(), "host": address(member.port) })
            .collect();
        let settings = doc! { "electionTimeoutMillis": 1_000, "heartbeatIntervalMillis": 200 };
        let config = doc! { "_id": "set", "members": hosts, "settings": settings };
        let first = set.direct(0);
        eventually("the set is initiated", async || {
            let admin = Client::with_uri_str(&first).await.unwrap().database("admin");
            let initiated = admin.run_command(doc! { "replSetInitiate": config.clone() }).await;
            initiated.is_ok() || initiated.unwrap_err().to_string().contains("AlreadyInitialized")
        })
        .await;
        eventually("the set has a primary", async || set.primary(&[]).await.is_some()).await;
        set
    }

    /// The address of all members.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<String> = self.members.iter().map(|member| address(member.port)).collect();
        format!("mongodb://{}/?replicaSet=set&serverSelectionTimeoutMS=1000", hosts.join(","))
    }

    /// The address of one member alone.
    pub(crate) fn direct(&self, member: usize) -> String {
        let host = address(self.members[member].port);
        format!("mongodb://{host}/?directConnection=true&serverSelectionTimeoutMS=1000")
    }

    /// Which member calls itself the primary, of those that are not named.
    pub(crate) async fn primary(&self, but: &[usize]) -> Option<usize> {
        for member in (0..3).filter(|member| !but.contains(member)) {
            let admin = Client::with_uri_str(self.direct(member)).await.unwrap().database("admin");
            let hello =
                tokio::time::timeout(Duration::from_secs(2), admin.run_command(doc! { "hello": 1 })).await;
            if let Ok(Ok(hello)) = hello
                && hello.get_bool("isWritablePrimary").unwrap_or_default()
            {
                return Some(member);
            }
        }
        None
    }

    /// Freezes a member where it stands.
    pub(crate) fn stop(&self, member: usize) {
        self.signal(member, "-STOP");
    }

    /// Lets a member go on as if nothing had been.
    pub(crate) fn go_on(&self, member: usize) {
        self.signal(member, "-CONT");
    }

    /// Kills a member without a warning.
    pub(crate) fn kill(&mut self, member: usize) {
        let process = &mut self.members[member].process;
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Starts a member again that was killed, with all that it had written.
    pub(crate) fn restart(&mut self, member: usize) {
        let port = self.members[member].port;
        self.members[member] = launch(&self.program, &self.folder_of(member), port);
    }

    /// Where a member keeps its files.
    pub(crate) fn folder_of(&self, member: usize) -> PathBuf {
        self.folder.join(member.to_string())
    }

    /// Sets a fail point of a member: `alwaysOn`, `off`, or so many times.
    pub(crate) async fn fail_point(&self, member: usize, name: &str, mode: impl Into<Bson>, data: Document) {
        let admin = Client::with_uri_str(self.direct(member)).await.unwrap().database("admin");
        let point = doc! { "configureFailPoint": name, "mode": mode.into(), "data": data };
        admin.run_command(point).await.unwrap();
    }

    fn signal(&self, member: usize, signal: &str) {
        let id = self.members[member].process.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

impl Drop for ReplicaSet {
    fn drop(&mut self) {
        for member in &mut self.members {
            // Whoever has ended already needs no end.
            let _ended = member.process.kill();
            let _reaped = member.process.wait();
        }
        let _removed = std::fs::remove_dir_all(&self.folder);
    }
}

fn launch(program: &str, folder: &Path, port: u16) -> Member {
    std::fs::create_dir_all(folder).unwrap();
    let process = Command::new(program)
        .args([
            "--replSet",
            "set",
            "--bind_ip",
            "127.0.0.1",
            "--nounixsocket",
            "--wiredTigerCacheSizeGB",
            "0.25",
        ])
        .args(["--setParameter", "diagnosticDataCollectionEnabled=false", "--oplogSize", "64"])
        .args(["--setParameter", "enableTestCommands=1"])
        .arg("--port")
        .arg(port.to_string())
        .arg("--dbpath")
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Member { process, port }
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}
