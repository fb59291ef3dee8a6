//! `run`, as far as it comes without broker and database.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use crate::agreed;
use crate::program::{CANARY, Ended, nearcopy};

/// An address that is taken until the listener is dropped.
fn taken() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[test]
fn without_addresses_it_says_what_to_set() {
    agreed("run_without_addresses", &nearcopy(&["run", "good.yaml"]).end());
    agreed("run_without_anything", &nearcopy(&["run"]).end());
}

/// Were the address for probes opened first, its being taken would be what is complained about.
#[test]
fn a_wrong_manifest_ends_it_before_anything_is_opened() {
    let (_listener, address) = taken();
    let ended =
        nearcopy(&["run", "bad.yaml"]).env("NEARCOPY__ADMIN__LISTEN", &address).with_addresses().end();
    assert_eq!((ended.code, ended.stdout.as_str()), (4, ""), "{ended}");
    assert_eq!(ended.stderr, nearcopy(&["check", "bad.yaml"]).end().stderr);
}

#[test]
fn an_address_that_is_taken_is_named() {
    let (_listener, address) = taken();
    let ended =
        nearcopy(&["run", "good.yaml"]).env("NEARCOPY__ADMIN__LISTEN", &address).with_addresses().end();
    assert_eq!(ended.code, 1, "{ended}");
    assert!(ended.stderr.contains(&address) && ended.stderr.contains("hint: "), "{ended}");
}

/// A database that is not there yet is waited for, and who waits can be stopped.
#[test]
fn a_signal_stops_it_while_it_waits_for_the_database() {
    for signal in ["-TERM", "-INT"] {
        let program = nearcopy(&["run", "good.yaml"]).env("NEARCOPY__ADMIN__LISTEN", "127.0.0.1:0");
        let mut command = program.with_addresses().command();
        let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut logs = BufReader::new(running.stdout.take().unwrap());
        let mut told = String::new();
        while !told.contains("database.waiting") {
            assert!(logs.read_line(&mut told).unwrap() > 0, "it has ended: {told}");
        }
        let pid = running.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        logs.read_to_string(&mut told).unwrap();
        let ended = Ended::from(running.wait_with_output().unwrap());
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended}\n{told}");
        assert!(told.contains("stopped as asked"), "{told}");
        assert!(!told.contains(CANARY), "{told}");
        for line in told.lines() {
            assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "no JSON: {line}");
        }
    }
}
