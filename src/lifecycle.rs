//! From the first task to the exit code: signals, a soft stop, a hard stop.
//!
//! A signal begins a soft stop: tasks see it in the stop token and end what they have begun. A second signal, or
//! the end of the grace period, is a hard stop: tasks are dropped where they wait, and one that does not wait is
//! left behind, see [`block_on`]. Both are safe, because nothing is settled before it is durable. A critical task
//! that ends while nobody asked for it, or panics, makes the program fail, so that whoever supervises it starts a
//! whole one again.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of a running program, and its way to the end. Clones are the same.
#[derive(Clone)]
pub struct Lifecycle {
    work: Handle,
    watch: Handle,
    stop: CancellationToken,
    told: CancellationToken,
    interrupted: CancellationToken,
    hard_stop: CancellationToken,
    tasks: TaskTracker,
    fallen: Arc<OnceLock<Arc<str>>>,
}

/// Why the program ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// It was asked to, and all tasks have ended.
    Stopped,
    /// It was asked to a second time before they had.
    Interrupted,
    /// The grace period was over before they had.
    OutOfTime,
    /// This task ended while nobody asked for it, or panicked.
    Failed(Arc<str>),
}

/// Runs this to its end upon this thread; it is handed the runtime for the work, which has threads of its own: for replicas
/// one, since a second one costs more, in waking each other and in memory, than it brings. Whoever watches the work hears signals,
/// knows the time and answers probes however stuck that thread is. What still runs at the end, and be it stuck, is
/// left behind: it ends with the process.
pub fn block_on<F: Future>(threads: usize, watch: impl FnOnce(Handle) -> F) -> io::Result<F::Output> {
    let work =
        Builder::new_multi_thread().worker_threads(threads).thread_name("work").enable_all().build()?;
    let here = Builder::new_current_thread().enable_all().build()?;
    let ended = here.block_on(watch(work.handle().clone()));
    work.shutdown_background();
    here.shutdown_background();
    Ok(ended)
}

impl Lifecycle {
    /// Listens for signals from here on, so that none is missed, in the runtime that it is called in. Tasks will run
    /// where the work is done.
    pub fn new(work: Handle) -> io::Result<Self> {
        let signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let lifecycle = Self {
            work,
            watch: Handle::current(),
            stop: CancellationToken::new(),
            told: CancellationToken::new(),
            interrupted: CancellationToken::new(),
            hard_stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            fallen: Arc::default(),
        };
        let (stop, told) = (lifecycle.stop.clone(), lifecycle.told.clone());
        let listening = listen(signals, stop, told, lifecycle.interrupted.clone());
        let over = lifecycle.hard_stop.clone();
        tokio::spawn(async move { over.run_until_cancelled(listening).await });
        Ok(lifecycle)
    }

    /// Is cancelled when a stop begins; cancelling it begins one.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Is cancelled when a signal asks for the end, also where a stop has begun for another reason.
    pub fn told_token(&self) -> CancellationToken {
        self.told.clone()
    }

    /// Runs a task without which the program is no good: it ends only after the stop token is cancelled. What
    /// went wrong in it, the task says itself.
    pub fn spawn_critical(&self, name: impl Into<Arc<str>>, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_in(&self.work, name.into(), task);
    }

    /// The same for a task that serves others, however busy the work is.
    pub fn spawn_beside(&self, name: impl Into<Arc<str>>, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_in(&self.watch, name.into(), task);
    }

    /// Makes something that is to live beside the work: whatever it spawns runs there.
    pub fn beside<T>(&self, make: impl FnOnce() -> T) -> T {
        let _here = self.watch.enter();
        make()
    }

    fn spawn_in(&self, runtime: &Handle, name: Arc<str>, task: impl Future<Output = ()> + Send + 'static) {
        let (stop, hard_stop, fallen) = (self.stop.clone(), self.hard_stop.clone(), self.fallen.clone());
        let running = runtime.spawn(async move { hard_stop.run_until_cancelled(task).await.is_some() });
        let watched = async move {
            let ended = running.await;
            let panicked = ended.is_err();
            if panicked || !stop.is_cancelled() {
                tracing::error!(event = "task.fell", task = &*name, panicked, "a critical task has ended");
                fallen.get_or_init(|| name);
                stop.cancel();
            }
        };
        self.tasks.spawn_on(watched, &self.work);
    }

    /// Waits until a stop begins, by a signal, a fallen task or the token; gives the tasks this long to end, and
    /// says why it is over.
    pub async fn run_until_stopped(self, grace: Duration) -> ExitReason {
        self.stop.cancelled().await;
        self.tasks.close();
        let end = tokio::select! {
            biased;
            () = self.tasks.wait() => ExitReason::Stopped,
            () = self.interrupted.cancelled() => ExitReason::Interrupted,
            () = tokio::time::sleep(grace) => ExitReason::OutOfTime,
        };
        self.hard_stop.cancel();
        let reason = self.fallen.get().cloned().map_or(end, ExitReason::Failed);
        tracing::info!(event = "stopped", %reason, "the end");
        reason
    }
}

/// The first signal begins a stop, if none has begun; the second ends all patience.
async fn listen(
    signals: (Signal, Signal),
    stop: CancellationToken,
    told: CancellationToken,
    interrupted: CancellationToken,
) {
    let (mut terminate, mut interrupt) = signals;
    loop {
        let signal = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        if told.is_cancelled() {
            return interrupted.cancel();
        }
        tracing::info!(event = "stopping", signal, "a stop was asked for");
        told.cancel();
        stop.cancel();
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped as asked"),
            Self::Interrupted => f.write_str("cut short by a second signal"),
            Self::OutOfTime => f.write_str("work under way did not end within the grace period"),
            Self::Failed(task) => write!(f, "the task `{task}` has fallen"),
        }
    }
}
