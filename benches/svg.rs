//! A plot for readers: one bar for each contender, and what each costs.

use std::fmt::Write;

use crate::contender;
use crate::result::{Results, Run};
use crate::statistics::Spread;

const WIDTH: u32 = 760;
const LEFT: u32 = 120;
const BAR: u32 = 20;
const ROW: u32 = 34;
const TOP: u32 = 64;
/// Where the longest bar ends, and its figure begins.
const RIGHT: u32 = 560;

/// Events per second of all contenders, users uniform. It has its own background, so that it can be read in the dark.
pub(crate) fn plot(results: &Results) -> String {
    let bars: Vec<(&str, Spread, Option<Spread>)> = contender::ALL
        .into_iter()
        .filter_map(|contender| {
            let of = |run: &&Run| run.workload == "uniform" && run.contender == contender.name();
            let runs: Vec<&Run> = results.throughput.iter().filter(of).collect();
            let rate = Spread::of(runs.iter().map(|run| run.per_second()))?;
            let own = Spread::of(runs.iter().map(|run| run.cost.own_us));
            Some((contender.name(), rate, own))
        })
        .collect();
    let most = bars.iter().map(|(_, rate, _)| rate.most).fold(1.0, f64::max);
    let height = TOP + ROW * u32::try_from(bars.len()).unwrap_or_default() + 16;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"26\" font-size=\"16\" fill=\"#1f2328\">Events per second, consumed, guarded, durable</text>\n\
         <text x=\"16\" y=\"46\" fill=\"#59636e\">{} cores shared with RabbitMQ {} and MongoDB {}; median, least \
         to most; own CPU an event</text>\n",
        results.machine.cores, results.machine.rabbitmq, results.machine.mongodb,
    );
    for (at, (name, rate, own)) in (0_u32..).zip(&bars) {
        bar(&mut text, TOP + ROW * at, name, (*rate, *own), most);
    }
    text.push_str("</svg>\n");
    text
}

fn bar(text: &mut String, top: u32, name: &str, (rate, own): (Spread, Option<Spread>), most: f64) {
    let x = |value: f64| f64::from(LEFT) + value / most * f64::from(RIGHT - LEFT);
    let colour = if name == "nearcopy" { "#0969da" } else { "#8c959f" };
    let (middle, base) = (top + BAR / 2, top + 15);
    let own = own.map(|own| format!(", {:.1} µs", own.median)).unwrap_or_default();
    // Writing into a text does not fail.
    let _written = write!(
        text,
        "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\" fill=\"#1f2328\">{name}</text>\n\
         <rect x=\"{LEFT}\" y=\"{top}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>\n\
         <line x1=\"{:.1}\" y1=\"{middle}\" x2=\"{:.1}\" y2=\"{middle}\" stroke=\"#1f2328\" stroke-width=\"2\"/>\n\
         <text x=\"{:.1}\" y=\"{base}\" fill=\"#1f2328\">{:.0}{own}</text>\n",
        LEFT - 8,
        x(rate.median) - f64::from(LEFT),
        x(rate.least),
        x(rate.most),
        x(rate.most) + 8.0,
        rate.median,
    );
}
