//! The measurements: lanes at every size, and what compiling takes.

use hengwei_tests::figures::{Goal, row, row_beside, row_for};

use super::child::{self, Compile, Compiled};
use super::ours::Ours;
use super::peer::Peer;
use super::{Arguments, Size, lanes, sets};
use hengwei_tests::race::race;

/// How many times the peer's rate ours should be.
const TIMES_PEER: f64 = 10.0;
/// How much more an event may cost with all rules than with [`FEW`].
const COST_OF_ALL: f64 = 1.5;
const FEW: usize = 140;
/// What compiling may take, for so many rules.
const COMPILED: usize = 3_780;
const COMPILE_MS: f64 = 2_000.0;
const COMPILE_MIB: f64 = 150.0;
/// Rules that the plain evaluator tries, about, to check ours at one size of one lane.
const CHECKED: usize = 400_000;

/// Events a second, at each size of the set.
pub(super) fn lanes(arguments: &Arguments) -> anyhow::Result<()> {
    let corpora = arguments.corpora.as_deref();
    let all = sets::load(corpora)?;
    let lanes = lanes::all(corpora, &arguments.lanes)?;
    for lane in &lanes {
        row(&format!("rules_{}_events", lane.name), lane.lines.len() as f64, "events");
        row(&format!("rules_{}_event", lane.name), lane.bytes(), "bytes/event");
    }
    // Nanoseconds by lane: with few rules, and with all.
    let mut costs = vec![(None, None); lanes.len()];
    for size in &arguments.sizes {
        let texts = sets::of_size(&all, *size, arguments.seed)?;
        let rules = texts.len();
        let ours = Ours::compile(&texts);
        let mut peer = Peer::compile(&texts);
        for (lane, cost) in lanes.iter().zip(&mut costs) {
            let name = format!("rules_{}_{rules}", lane.name);
            let events = ours.events(&lane.lines)?;
            ours.check(&events, (CHECKED / rules).clamp(10, 500))?;
            let theirs = peer.events(&lane.lines)?;
            let (count, per) = (events.len(), events.len() as f64);

            let mut contestants = vec![ours.decoded(&events)];
            contestants.extend(peer.decoded(&theirs));
            race(&mut contestants, count, arguments.runs)?;
            let own = &contestants[0];
            let best = contestants[1..].iter().max_by(|a, b| a.rate().total_cmp(&b.rate()));
            let Some(best) = best else { continue };
            row_beside(
                &format!("{name}_decoded"),
                own.rate(),
                "events/s",
                (best.name, best.rate()),
                Some(Goal::RatioAtLeast(TIMES_PEER)),
            );
            let (hits, their_hits) = (own.hits as f64 / per, best.hits as f64 / per);
            let way = best.name;
            match size {
                Size::Of(FEW) => cost.0 = Some(1e9 / own.rate()),
                Size::All => cost.1 = Some(1e9 / own.rate()),
                Size::Of(_) => {}
            }
            drop(contestants);

            let mut contestants =
                [ours.parsed(&lane.lines), peer.parsed(way, &lane.lines, &theirs)];
            race(&mut contestants, count, arguments.runs)?;
            row_beside(
                &format!("{name}_parsed"),
                contestants[0].rate(),
                "events/s",
                (way, contestants[1].rate()),
                None,
            );
            row_beside(&format!("{name}_hits"), hits, "hits/event", (way, their_hits), None);
        }
    }
    for (lane, cost) in lanes.iter().zip(costs) {
        if let (Some(few), Some(all)) = cost {
            let name = format!("rules_{}_cost", lane.name);
            row(&format!("{name}_{FEW}"), few, "ns/event");
            row(&format!("{name}_all"), all, "ns/event");
            row_for(&format!("{name}_all_to_{FEW}"), all / few, "times", Goal::AtMost(COST_OF_ALL));
        }
    }
    Ok(())
}

/// Time and memory of compiling, each in a process of its own.
pub(super) fn compile(arguments: &Arguments) -> anyhow::Result<()> {
    for size in &arguments.sizes {
        let mut figures = Vec::new();
        for peer in [false, true] {
            let mut runs: Vec<Compiled> = Vec::new();
            for _ in 0..arguments.runs.min(3) {
                let task = Compile::new(arguments, *size, peer);
                runs.push(child::start(&task)?);
            }
            runs.sort_by(|a, b| a.milliseconds.total_cmp(&b.milliseconds));
            figures.push(runs.swap_remove(runs.len() / 2));
        }
        let [ours, theirs] = &figures[..] else { continue };
        let rules = ours.texts;
        let goal = |most: f64| (rules == COMPILED).then_some(Goal::AtMost(most));
        let name = |what: &str| format!("rules_{rules}_{what}");
        row_beside(
            &name("compile"),
            ours.milliseconds,
            "ms",
            ("rsigma-eval", theirs.milliseconds),
            goal(COMPILE_MS),
        );
        let (mib, their_mib) = (ours.peak_mib, theirs.peak_mib);
        row_beside(&name("peak_rss"), mib, "MiB", ("rsigma-eval", their_mib), goal(COMPILE_MIB));
        let refused = (ours.refused as f64, theirs.refused as f64);
        row_beside(&name("refused"), refused.0, "rules", ("rsigma-eval", refused.1), None);
    }
    Ok(())
}
