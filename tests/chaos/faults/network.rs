//! Faults of the ways between the sidecars and the rest.

use std::time::Duration;

use tokio::time::sleep;

use super::Fault;
use crate::proxy::{Proxy, Weather};
use crate::stage::Stage;

/// Makes the weather of a fault for its time, and clears up.
pub(super) async fn disturb(stage: &Stage, fault: Fault, rng: &mut fastrand::Rng) {
    let to_broker = match fault {
        Fault::BrokerBlackHole | Fault::BrokerCut | Fault::CutAtAcknowledgement => true,
        Fault::DatabaseBlackHole | Fault::DatabaseCut => false,
        _ => rng.bool(),
    };
    let ways: Vec<&Proxy> =
        if to_broker { vec![&stage.to_broker] } else { stage.to_database.iter().collect() };
    match fault {
        Fault::BrokerCut | Fault::CutAtAcknowledgement | Fault::DatabaseCut => cut(&ways, fault, rng).await,
        _ => {
            let weather = weather(fault, rng);
            for way in &ways {
                way.weather(weather);
            }
            // A black hole lasts until the heartbeats have noticed it, or not quite.
            let long = if weather.black_hole { 5..26 } else { 3..9 };
            sleep(Duration::from_secs(rng.u64(long))).await;
        }
    }
    for way in ways {
        way.clear_up();
    }
}

/// Cuts again and again, each time after something else has passed.
async fn cut(ways: &[&Proxy], fault: Fault, rng: &mut fastrand::Rng) {
    for _ in 0..rng.usize(4..12) {
        for way in ways {
            match fault {
                Fault::CutAtAcknowledgement => way.cut_after_acknowledgements(rng.i64(1..6)),
                _ => way.cut_after_bytes(rng.i64(1..60_000)),
            }
        }
        sleep(Duration::from_millis(rng.u64(200..900))).await;
    }
}

fn weather(fault: Fault, rng: &mut fastrand::Rng) -> Weather {
    match fault {
        Fault::Slow => Weather { latency: Duration::from_millis(rng.u64(2..60)), ..Weather::default() },
        Fault::RepliesLost => Weather { mute: true, ..Weather::default() },
        Fault::Narrow => Weather { narrow: Some(rng.u32(2_000..60_000)), ..Weather::default() },
        _ => Weather { black_hole: true, closed: rng.bool(), ..Weather::default() },
    }
}
