//! The way to the end. Signals reach the whole process, so these tests take turns.

use std::process::Command;
use std::time::Duration;

use nearcopy::cli::Exit;
use nearcopy::clock;
use nearcopy::lifecycle::{ExitReason, Lifecycle, block_on};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, MutexGuard, oneshot};

const LONG: Duration = Duration::from_secs(30);

static TURN: Mutex<()> = Mutex::const_new(());

async fn begin() -> (MutexGuard<'static, ()>, Lifecycle) {
    (TURN.lock().await, Lifecycle::new(Handle::current()).unwrap())
}

fn send(signal: &str) {
    let status = Command::new("kill").args([signal, &std::process::id().to_string()]).status();
    assert!(status.unwrap().success());
}

#[tokio::test]
async fn a_signal_lets_tasks_end_what_they_have_begun() {
    for signal in ["-TERM", "-INT"] {
        let (_turn, lifecycle) = begin().await;
        let stop = lifecycle.stop_token();
        let (done, finished) = oneshot::channel();
        lifecycle.spawn_critical("work", async move {
            stop.cancelled().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            done.send(()).unwrap();
        });
        send(signal);
        assert_eq!(lifecycle.run_until_stopped(LONG).await, ExitReason::Stopped);
        finished.await.unwrap();
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let (_turn, lifecycle) = begin().await;
    let stop = lifecycle.stop_token();
    let (held, dropped) = oneshot::channel::<()>();
    lifecycle.spawn_critical("work", async move {
        let _held = held;
        std::future::pending::<()>().await;
    });
    let ending = tokio::spawn(lifecycle.run_until_stopped(LONG));
    send("-INT");
    stop.cancelled().await;
    send("-INT");
    let reason = tokio::time::timeout(Duration::from_secs(5), ending).await.unwrap().unwrap();
    assert_eq!(reason, ExitReason::Interrupted);
    assert!(dropped.await.is_err(), "the task is dropped where it waits");
}

#[tokio::test]
async fn work_that_does_not_end_is_cut_off_after_the_grace_period() {
    let (_turn, lifecycle) = begin().await;
    lifecycle.spawn_critical("work", std::future::pending());
    lifecycle.stop_token().cancel();
    let started = clock::now();
    assert_eq!(lifecycle.run_until_stopped(Duration::from_millis(200)).await, ExitReason::OutOfTime);
    assert!(started.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_critical_task_that_ends_or_panics_fails_the_program_and_stops_the_others() {
    for panics in [false, true] {
        let (_turn, lifecycle) = begin().await;
        let stop = lifecycle.stop_token();
        lifecycle.spawn_critical("other", async move { stop.cancelled().await });
        lifecycle.spawn_critical("fragile", async move { assert!(!panics, "it panics on purpose") });
        let reason = lifecycle.run_until_stopped(LONG).await;
        assert_eq!(reason, ExitReason::Failed("fragile".into()));
    }
}

#[tokio::test]
async fn a_panic_while_stopping_is_a_failure_too() {
    let (_turn, lifecycle) = begin().await;
    let stop = lifecycle.stop_token();
    lifecycle.spawn_critical("last", async move {
        stop.cancelled().await;
        panic!("on purpose");
    });
    lifecycle.stop_token().cancel();
    assert_eq!(lifecycle.run_until_stopped(LONG).await, ExitReason::Failed("last".into()));
}

/// A signal must be heard while the program still starts, when nobody waits for the end yet.
#[tokio::test]
async fn a_signal_begins_the_stop_although_nobody_waits_for_the_end_yet() {
    let (_turn, lifecycle) = begin().await;
    send("-TERM");
    let heard = tokio::time::timeout(Duration::from_secs(5), lifecycle.stop_token().cancelled()).await;
    assert!(heard.is_ok());
    assert_eq!(lifecycle.run_until_stopped(LONG).await, ExitReason::Stopped);
}

#[test]
fn a_task_that_is_stuck_does_not_hold_the_process() {
    let started = clock::now();
    let reason = block_on(1, async |work| {
        let _turn = TURN.lock().await;
        let lifecycle = Lifecycle::new(work).unwrap();
        let (stuck, is_stuck) = oneshot::channel();
        lifecycle.spawn_critical("stuck", async {
            stuck.send(()).unwrap();
            std::thread::sleep(LONG);
        });
        is_stuck.await.unwrap();
        lifecycle.stop_token().cancel();
        lifecycle.run_until_stopped(Duration::from_millis(100)).await
    });
    assert_eq!(reason.unwrap(), ExitReason::OutOfTime);
    assert!(started.elapsed() < LONG / 2, "it waited {:?}", started.elapsed());
}

#[test]
fn each_end_has_its_exit_code() {
    for (reason, code) in [
        (ExitReason::Stopped, 0),
        (ExitReason::Interrupted, 130),
        (ExitReason::OutOfTime, 1),
        (ExitReason::Failed("fragile".into()), 1),
    ] {
        assert_eq!(Exit::from(reason.clone()) as u8, code, "{reason}");
    }
}
