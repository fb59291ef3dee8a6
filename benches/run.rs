//! All parts in turn, and what is made of them.

use std::path::PathBuf;

use anyhow::Result;

use crate::broker::Broker;
use crate::contender::{self, Arena, Contender};
use crate::database::Database;
use crate::event::{Spread, Workload};
use crate::report::{self, note};
use crate::result::Results;
use crate::{Arguments, Part, library, machine, throughput};

/// How many users there are.
const USERS: u32 = 20_000;

/// Measures what is asked for.
pub(crate) async fn all(arguments: &Arguments) -> Result<()> {
    let arena = arena().await?;
    let mut results = Results { machine: machine::describe(&arena).await?, ..Results::default() };
    note(&format!("{} cores, load {}", results.machine.cores, results.machine.load_before));
    if arguments.wants(Part::Throughput) {
        backlogs(arguments, &arena, Spread::Uniform, &mut results).await?;
    }
    if arguments.wants(Part::Zipf) {
        backlogs(arguments, &arena, Spread::Zipf, &mut results).await?;
    }
    arena.broker.remove().await?;
    arena.database.raw.drop().await?;
    Ok(())
}

/// Every contender in turn, round by round; each round begins with another one.
async fn backlogs(arguments: &Arguments, arena: &Arena, spread: Spread, results: &mut Results) -> Result<()> {
    let contenders = contenders(arguments, arena, results);
    for round in 0..arguments.rounds {
        for at in 0..contenders.len() {
            let contender = contenders[(at + round) % contenders.len()];
            if round >= contender.rounds(arguments.rounds) {
                continue;
            }
            let count = arguments.events / contender.divisor();
            let workload = Workload::new(spread, count, USERS, 0, round as u64 + 1);
            let run = throughput::measure(arena, contender, &workload, spread.name()).await?;
            report::turn(round + 1, &run);
            results.throughput.push(run);
        }
    }
    Ok(())
}

/// Those that can take part; of the others it is said why not.
fn contenders(arguments: &Arguments, arena: &Arena, results: &mut Results) -> Vec<Contender> {
    let mut able = Vec::new();
    for contender in contender::ALL.into_iter().filter(|contender| arguments.wants_contender(*contender)) {
        match library::get(contender, &arena.folder) {
            Ok(()) => able.push(contender),
            Err(reason) => {
                let told = format!("{}: {reason}", contender.name());
                note(&format!("left out: {told}"));
                if !results.left_out.contains(&told) {
                    results.left_out.push(told);
                }
            }
        }
    }
    able
}

async fn arena() -> Result<Arena> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.services/bench"));
    std::fs::create_dir_all(&folder)?;
    Ok(Arena { folder, broker: Broker::given()?, database: Database::given().await? })
}

impl Arguments {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    fn wants_contender(&self, contender: Contender) -> bool {
        self.contenders.is_empty() || self.contenders.iter().any(|name| name == contender.name())
    }
}
