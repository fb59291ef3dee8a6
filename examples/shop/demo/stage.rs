//! All that the story needs: a broker, two databases, three processes; put up, and taken down again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use tokio::time::Instant;

use crate::broker::Broker;
use crate::metrics::{Books, Scrape};
use crate::process::Process;
use crate::replica::Replica;
use crate::report::{Report, shown};
use crate::shop::{Products, Users};

pub(crate) struct Stage {
    pub(crate) http: Client,
    pub(crate) user_service: Process,
    pub(crate) product_service: Process,
    pub(crate) nearcopy: Process,
    /// Where nearcopy is read: `http://127.0.0.1:PORT`.
    pub(crate) reads: String,
    pub(crate) users: Users,
    pub(crate) products: Products,
    pub(crate) replica: Replica,
    pub(crate) broker: Broker,
    pub(crate) books: Books,
    owner: mongodb::Database,
}

impl Stage {
    /// Chooses names and ports; nothing runs yet but what was running.
    pub(crate) async fn set_up(manifest: &Path) -> Result<Self> {
        let programs = Programs::find()?;
        ensure!(manifest.exists(), "there is no manifest at {}", manifest.display());
        let name = format!("nearcopy-demo-{}", std::process::id());
        let folder = programs.folder.join("demo").join(&name);
        std::fs::create_dir_all(&folder)?;

        let http = Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?;
        let mongodb = std::env::var("MONGODB_URL").context("MONGODB_URL is not set: run `make demo`")?;
        let client = mongodb::Client::with_uri_str(&mongodb).await?;
        let broker = Broker::set_up(http.clone(), &name).await?;
        let (owned, consumed) = (format!("{name}-users"), format!("{name}-products"));

        let user_service = service("user-service", programs.example("user_service"), &folder)?
            .environment("MONGODB_URL", &mongodb)
            .environment("MONGODB_DATABASE", &owned)
            .environment("RABBITMQ_URL", &broker.url);
        let product_service = service("product-service", programs.example("product_service"), &folder)?
            .environment("MONGODB_URL", &mongodb)
            .environment("MONGODB_DATABASE", &consumed);
        let reads = format!("127.0.0.1:{}", free_port()?);
        let nearcopy = nearcopy(programs.nearcopy(), manifest, &folder)?
            .environment("NEARCOPY__READ__LISTEN", &reads)
            .environment("USER_SERVICE_URL", &user_service.url)
            .environment("NEARCOPY__RABBITMQ__URL", &broker.url)
            .environment("NEARCOPY__MONGODB__URL", &mongodb)
            .environment("NEARCOPY__MONGODB__DATABASE", &consumed);
        Ok(Self {
            users: Users { http: http.clone(), url: user_service.url.clone() },
            products: Products { http: http.clone(), url: product_service.url.clone() },
            replica: Replica { database: client.database(&consumed) },
            owner: client.database(&owned),
            books: Books::default(),
            http,
            user_service,
            product_service,
            nearcopy,
            reads: format!("http://{reads}"),
            broker,
        })
    }

    /// Starts all three.
    pub(crate) async fn raise_curtain(&mut self, report: &Report) -> Result<()> {
        report.title("nearcopy: the story of a shop, told live");
        for process in [&mut self.user_service, &mut self.product_service, &mut self.nearcopy] {
            let took = process.start(&self.http).await?;
            report.note(&format!("{:<16} {}   ready in {}", process.name, process.url, shown(took)));
        }
        // Ready means that it can be read from; the broker may come later. An event told to no queue would be lost.
        let listens = async || self.broker.expect_consumer().await;
        let promise = "nearcopy listens to the users' events";
        report.eventually(promise, Instant::now(), Duration::from_secs(30), listens).await
    }

    /// The numbers of this moment; remembered for the table.
    pub(crate) async fn scrape(&mut self) -> Result<Scrape> {
        let scrape = Scrape::take(&self.http, &self.nearcopy.url).await?;
        self.books.note(scrape.clone());
        Ok(scrape)
    }

    /// Looks at the numbers until they are as wanted; the last look is remembered.
    pub(crate) async fn expect_numbers(
        &mut self,
        report: &Report,
        promise: &str,
        wanted: impl Fn(&Scrape) -> bool,
    ) -> Result<Scrape> {
        let (http, url) = (&self.http, &self.nearcopy.url);
        let look = async || {
            let scrape = Scrape::take(http, url).await?;
            ensure!(wanted(&scrape), "{scrape}");
            Ok(())
        };
        report.eventually(promise, Instant::now(), Duration::from_secs(30), look).await?;
        self.scrape().await
    }

    pub(crate) async fn drift(&self) -> Result<Vec<String>> {
        self.replica.drift(&self.users).await
    }

    /// Everything stays, and the report says where.
    pub(crate) fn leave_running(&mut self, report: &Report) {
        report.title("Left running");
        for process in [&mut self.user_service, &mut self.product_service, &mut self.nearcopy] {
            let id = process.leave_running().map_or("not running".to_owned(), |id| format!("process {id}"));
            report.note(&format!(
                "{:<16} {}   {id}, log {}",
                process.name,
                process.url,
                process.log.display()
            ));
        }
        report.note(&format!("{:<16} {}/metrics", "metrics", self.nearcopy.url));
        report.note(&format!("{:<16} {}/v1/users/42", "reads", self.reads));
        report.note(&format!("{:<16} {}", "broker", self.broker.url));
        report.note(&format!(
            "{:<16} {} and {}",
            "databases",
            self.owner.name(),
            self.replica.database.name()
        ));
        if let Some(file) = self.write_environment() {
            let file = file.display();
            report.note(&format!(
                "ask it: . {file}; target/release/nearcopy check --online config/examples/products.yaml"
            ));
        }
        report.note("end the processes with kill, the broker and the database with make services-down");
    }

    /// Writes down, for a shell, where nearcopy's commands find this stage; none where that cannot be written.
    fn write_environment(&self) -> Option<PathBuf> {
        let file = self.nearcopy.log.with_file_name("env");
        let lines = [
            ("USER_SERVICE_URL", self.user_service.url.clone()),
            ("NEARCOPY__RABBITMQ__URL", self.broker.url.clone()),
            ("NEARCOPY__MONGODB__URL", std::env::var("MONGODB_URL").ok()?),
            ("NEARCOPY__MONGODB__DATABASE", self.replica.database.name().to_owned()),
        ]
        .map(|(name, value)| format!("export {name}='{value}'\n"));
        std::fs::write(&file, lines.concat()).ok().map(|()| file)
    }

    /// Stops the processes; removes their databases and queues.
    pub(crate) async fn clean_up(&mut self) -> Result<()> {
        let stopped = self.stop_all().await;
        self.owner.drop().await?;
        self.replica.database.drop().await?;
        self.broker.clean_up().await?;
        stopped
    }

    async fn stop_all(&mut self) -> Result<()> {
        for process in [&mut self.nearcopy, &mut self.product_service, &mut self.user_service] {
            if process.is_running() {
                process.stop().await?;
            }
        }
        Ok(())
    }
}

/// Where cargo put the programs: beside ours.
struct Programs {
    folder: PathBuf,
}

impl Programs {
    fn nearcopy(&self) -> PathBuf {
        self.folder.join("nearcopy")
    }

    fn example(&self, name: &str) -> PathBuf {
        self.folder.join("examples").join(name)
    }

    fn find() -> Result<Self> {
        let own = std::env::current_exe()?;
        let folder =
            own.parent().and_then(Path::parent).context("this program lies in no folder")?.to_owned();
        for program in ["nearcopy", "examples/user_service", "examples/product_service"] {
            ensure!(
                folder.join(program).exists(),
                "{program} is not built in {}: run `make demo`",
                folder.display()
            );
        }
        Ok(Self { folder })
    }
}

/// One of the shop's services, on a port of its own.
fn service(name: &'static str, program: PathBuf, folder: &Path) -> Result<Process> {
    let port = free_port()?;
    Ok(Process::new(name, program, port, "/healthz", folder)
        .environment("LISTEN", format!("127.0.0.1:{port}")))
}

fn nearcopy(program: PathBuf, manifest: &Path, folder: &Path) -> Result<Process> {
    let port = free_port()?;
    Ok(Process::new("nearcopy", program, port, "/readyz", folder)
        .argument("run")
        .argument(manifest.display().to_string())
        .environment("NEARCOPY__ADMIN__LISTEN", format!("127.0.0.1:{port}"))
        .environment("NEARCOPY__LOG__FORMAT", "json"))
}

/// A free port below the range from which the kernel serves outgoing connections: it stays free while a service is down.
fn free_port() -> Result<u16> {
    for _ in 0..200 {
        let port = 20_000
            + u16::from_be_bytes([uuid::Uuid::new_v4().as_bytes()[0], uuid::Uuid::new_v4().as_bytes()[0]])
                % 12_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no free port between 20000 and 32000")
}
