//! Sets of rules over what a real judge committed: they find what it found.

use std::path::Path;
use std::thread::JoinHandle;

use super::*;
use crate::alerts::Alert;
use crate::config::{self, Config};
use crate::history::tree;
use crate::judge::Prepared;
use crate::judge::tests::{failures, lines, run};
use crate::packs::{Import, Order, archive};
use crate::services::tests::Scene;

const MARK: &str = "mark-of-a-test";

fn rule(id: &str, level: &str, word: &str) -> String {
    format!(
        "title: {id}\nid: {id}\nlevel: {level}\nlogsource: {{product: linux}}\ndetection:\n  mark: [{word}]\n  condition: mark\nhengwei:\n  entity: host.name\n"
    )
}

/// A collector of its own in this process.
struct Stand {
    scene: Scene,
    services: Services,
    judge: JoinHandle<()>,
}

fn config(scene: &Scene) -> Config {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/library/authentication");
    let rules = config::Rules { dirs: vec![library], ..config::Rules::default() };
    Config { data: scene.path("data"), rules, ..Config::default() }
}

impl Stand {
    async fn new() -> Stand {
        let scene = Scene::new();
        let (services, judge, loaded) = Services::open(config(&scene)).expect("opens");
        packs::started(&services, &loaded).await;
        Stand { scene, services, judge }
    }

    async fn submit(&self, prepared: Prepared) {
        let answer = self.services.desk.submit(prepared).await;
        answer.await.expect("the judge answers").expect("stored");
    }

    async fn marks(&self, agent: &str, first: u64, count: u64) {
        let created = time::parse("2026-11-20T09:00:00Z").expect("a time");
        let text = |n: u64| format!("Nov 20 09:00:00 his app[1]: {MARK} {n}");
        self.submit(lines(agent, first, created, (first..first + count).map(text))).await;
    }

    async fn seal(&self) {
        let history = self.services.history.clone();
        tokio::task::spawn_blocking(move || history.seal()).await.expect("runs").expect("seals");
    }

    async fn order(&self, order: Order, archive: Vec<u8>) -> anyhow::Result<Vec<Value>> {
        let mut rows = Vec::new();
        let mut see = |row| {
            rows.push(row);
            true
        };
        packs::execute(&self.services, "test", order, archive, &|| true, &mut see).await?;
        Ok(rows)
    }

    async fn backtest(&self, pack: Option<&str>, archive: Vec<u8>) -> (Vec<Value>, Value) {
        let asked = Asked {
            since: "2026-11-01".to_owned(),
            until: Some("2026-12-01".to_owned()),
            pack: pack.map(str::to_owned),
            progress: false,
        };
        let mut rows = self.order(Order::Backtest(asked), archive).await.expect("runs");
        let summary = rows.pop().expect("a summary");
        (rows, summary)
    }

    async fn import(&self, version: &str, rules: &[(&str, String)]) -> anyhow::Result<Vec<Value>> {
        let texts = rules.iter().map(|(name, text)| (*name, text.as_bytes()));
        let archive = archive::write(texts).expect("packs");
        let version = Some(version.to_owned());
        let asked = Import { name: "p".to_owned(), version, source: "test.zip".to_owned() };
        self.order(Order::Import(asked), archive).await
    }

    async fn activate(&self, version: &str, without_backtest: bool) -> anyhow::Result<Vec<Value>> {
        let (name, version) = ("p".to_owned(), Some(version.to_owned()));
        self.order(Order::Activate { name, version, without_backtest }, Vec::new()).await
    }

    fn alerts(&self) -> Vec<Alert> {
        let mut alerts = Vec::new();
        self.services.history.scan(tree::ALERTS, b"", &mut |_, value| {
            alerts.push(serde_json::from_slice(value).expect("an alert"));
            true
        });
        alerts
    }

    /// What history was told of rules, oldest first.
    fn told(&self) -> Vec<(String, Value)> {
        let mut told = Vec::new();
        let read = self.services.history.entries(None, None, &mut |_, entry| {
            if entry.action.starts_with("rules.") {
                told.push((entry.action, serde_json::from_str(&entry.body).expect("JSON")));
            }
            true
        });
        read.expect("reads");
        told.reverse();
        told
    }

    async fn close(self) -> Scene {
        self.services.desk.stop().await;
        self.judge.join().expect("the judge ends well");
        self.scene
    }
}

#[test]
fn what_was_found_is_found_again() {
    run(async {
        let stand = Stand::new().await;
        // Windows fill over several commits, agents, and both sides of a seal.
        stand.submit(failures("a", 1, 3, "203.0.113.9")).await;
        stand.submit(failures("b", 1, 2, "203.0.113.7")).await;
        stand.seal().await;
        stand.submit(failures("b", 3, 9, "203.0.113.9")).await;
        stand.submit(failures("a", 4, 4, "203.0.113.7")).await;
        stand.marks("a", 8, 5).await;
        let alerts = stand.alerts();
        assert!(alerts.len() >= 2, "{alerts:?}");
        let (rows, summary) = stand.backtest(None, Vec::new()).await;
        assert_eq!(summary["events"], 23);
        assert_eq!(summary["alerts"], alerts.len());
        assert_eq!((&summary["in_force"], &summary["at_least"]), (&true.into(), &false.into()));
        for alert in &alerts {
            let row = rows.iter().find(|row| row["rule"] == alert.rule.id).expect("its rule");
            let entities = row["entities"].as_array().expect("entities");
            let entity = entities.iter().find(|it| it["value"] == alert.entity.value);
            assert_eq!(entity.expect("its entity")["count"], alert.count, "{row}");
            assert!(row["examples"].as_array().is_some_and(|it| (1..=3).contains(&it.len())));
        }
        assert_eq!(stand.alerts(), alerts, "nothing was written");
        assert_eq!(stand.told().last().expect("told").0, "rules.backtested");
        stand.close().await;
    });
}

#[test]
fn records_come_in_the_order_of_their_commits() {
    run(async {
        let stand = Stand::new().await;
        for n in 0..4 {
            stand.submit(failures("a", 1 + 2 * n, 2, "203.0.113.9")).await;
            stand.marks("b", 1 + n, 1).await;
            if n == 1 {
                stand.seal().await;
            }
        }
        let (mut commits, mut records) = (Vec::new(), Vec::new());
        stand.services.history.onward(&Range::default(), &mut |stretch| {
            commits.push(stretch.commit);
            let numbers = stretch.block.records.iter().map(|record| record.number);
            records.extend(numbers.map(|number| (stretch.agent.to_string(), number)));
            true
        });
        assert!(commits.is_sorted() && commits.len() >= 8, "{commits:?}");
        let of = |agent: &str| -> Vec<u64> {
            records.iter().filter(|(it, _)| it == agent).map(|(_, number)| *number).collect()
        };
        assert_eq!((of("a"), of("b")), ((1..=8).collect(), (1..=4).collect()));
        let nothing = Range { since: Some(i64::MAX), ..Range::default() };
        stand.services.history.onward(&nothing, &mut |_| panic!("nothing is so late"));
        stand.close().await;
    });
}

#[test]
fn other_rules_are_compared_with_those_in_force() {
    run(async {
        let stand = Stand::new().await;
        stand.submit(failures("a", 1, 6, "203.0.113.9")).await;
        stand.marks("a", 7, 5).await;
        let archive = archive::write(
            [("a.yml", rule("loud", "high", MARK)), ("b.yml", rule("quiet", "low", MARK))]
                .iter()
                .map(|(name, text)| (*name, text.as_bytes())),
        );
        let (rows, summary) = stand.backtest(None, archive.expect("packs")).await;
        let of = |rule: &str| rows.iter().find(|row| row["rule"] == rule).expect("a row");
        assert_eq!((&of("loud")["change"], &of("loud")["alerts"]), (&"new".into(), &1.into()));
        assert_eq!(of("loud")["entities"], json!([{ "value": "a", "count": 5 }]));
        // Below the threshold it is a mark, and no alert.
        assert_eq!((&of("quiet")["matches"], &of("quiet")["alerts"]), (&5.into(), &0.into()));
        assert!(rows.iter().any(|row| row["change"] == "gone" && row["alerts_before"] == 1));
        assert_eq!((&summary["alerts"], &summary["alerts_before"]), (&1.into(), &1.into()));
        assert_eq!(stand.services.desk.rules().set().by_key("loud"), None, "nothing is in force");
        stand.close().await;
    });
}

#[test]
fn who_goes_ends_it_and_it_counts_for_nothing() {
    run(async {
        let stand = Stand::new().await;
        stand.import("1", &[("a.yml", rule("loud", "high", MARK))]).await.expect("imports");
        stand.marks("a", 1, 5).await;
        let asked = Asked {
            since: "2026-11-01".to_owned(),
            until: None,
            pack: Some("p".to_owned()),
            progress: false,
        };
        let mut rows = 0;
        let mut see = |_| {
            rows += 1;
            true
        };
        let order = Order::Backtest(asked);
        packs::execute(&stand.services, "test", order, Vec::new(), &|| false, &mut see)
            .await
            .expect("ends");
        assert_eq!(rows, 0);
        assert!(stand.told().iter().all(|(action, _)| action != "rules.backtested"));
        let refused = stand.activate("1", false).await.expect_err("refused").to_string();
        assert!(refused.contains("--without-backtest"), "{refused}");
        stand.close().await;
    });
}

#[test]
fn a_backtest_over_nothing_is_none() {
    run(async {
        let stand = Stand::new().await;
        stand.import("1", &[("rules/a.yml", rule("a", "high", MARK))]).await.expect("imports");
        let (_, found) = stand.backtest(Some("p@1"), Vec::new()).await;
        assert_eq!(found["events"], 0);
        let refused = stand.activate("1", false).await.expect_err("refused").to_string();
        assert!(refused.contains("--without-backtest"), "{refused}");
        let row = stand.activate("1", true).await.expect("activates").remove(0);
        assert_eq!(row["without_backtest"], true);
        stand.close().await;
    });
}

#[test]
fn a_pack_goes_live_and_back_and_history_knows() {
    run(async {
        let stand = Stand::new().await;
        stand.marks("a", 1, 1).await;
        let one = [
            ("rules/a.yml", rule("a", "high", MARK)),
            ("rules/b.yml", rule("b", "high", "nothing-like-it")),
            (
                "rules/c.yml",
                rule("c", "high", MARK).replace("level:", "status: deprecated\nlevel:"),
            ),
            ("rules/d.yml", "title: [".to_owned()),
            ("rules/deprecated/e.yml", rule("e", "high", MARK)),
        ];
        let mut rows = stand.import("1", &one).await.expect("imports");
        let counts = rows.pop().expect("a summary");
        assert_eq!(
            (&counts["rules"], &counts["refused"], &counts["left_out"]),
            (&2.into(), &1.into(), &2.into())
        );
        assert_eq!(stand.services.desk.rules().set().by_key("a"), None, "it is only kept");
        assert!(stand.import("1", &one).await.is_err(), "it is kept already");
        let two =
            [("rules/a.yml", rule("a", "medium", MARK)), ("rules/f.yml", rule("f", "high", MARK))];
        let rows = stand.import("2", &two).await.expect("imports");
        let outcomes: Vec<_> = rows.iter().filter_map(|row| row["outcome"].as_str()).collect();
        assert_eq!(outcomes, ["changed", "new", "removed"]);

        let (_, found) = stand.backtest(Some("p@1"), Vec::new()).await;
        assert_eq!((&found["alerts"], &found["alerts_before"]), (&1.into(), &0.into()));
        let row = stand.activate("1", false).await.expect("activates").remove(0);
        assert_eq!((&row["new"], &row["without_backtest"]), (&2.into(), &false.into()));
        stand.marks("a", 2, 1).await;
        assert_eq!(stand.alerts().iter().filter(|it| it.rule.id == "a").count(), 1);
        assert!(stand.activate("2", false).await.is_err(), "no backtest of it has run");
        stand.activate("2", true).await.expect("activates");
        stand.marks("b", 1, 1).await;
        let levels: Vec<String> = stand
            .alerts()
            .into_iter()
            .filter(|it| it.rule.id == "a")
            .map(|it| it.rule.level)
            .collect();
        assert_eq!(levels, ["high", "medium"]);

        // A restart has the same in force.
        let digest = stand.services.desk.rules().about().digest.clone();
        let scene = stand.close().await;
        let (services, judge, loaded) = Services::open(config(&scene)).expect("opens");
        packs::started(&services, &loaded).await;
        let stand = Stand { scene, services, judge };
        assert_eq!(stand.services.desk.rules().about().digest, digest);

        let back = Order::Rollback { name: "p".to_owned() };
        let row = stand.order(back.clone(), Vec::new()).await.expect("rolls back").remove(0);
        assert_eq!((&row["version"], &row["before"]), (&"1".into(), &"2".into()));
        assert!(stand.order(remove("1"), Vec::new()).await.is_err(), "it is live");
        stand.order(remove("2"), Vec::new()).await.expect("removes");
        stand.order(back.clone(), Vec::new()).await.expect("rolls back");
        assert_eq!(stand.services.desk.rules().set().by_key("a"), None);
        assert!(stand.order(back, Vec::new()).await.is_err(), "nothing was before");
        let actions: Vec<String> = stand.told().into_iter().map(|(action, _)| action).collect();
        let expected = [
            "rules.loaded",
            "rules.imported",
            "rules.imported",
            "rules.backtested",
            "rules.activated",
            "rules.activated",
            "rules.rolled-back",
            "rules.removed",
            "rules.rolled-back",
        ];
        assert_eq!(actions, expected);
        stand.close().await;
    });
}

fn remove(version: &str) -> Order {
    Order::Remove { name: "p".to_owned(), version: version.to_owned() }
}
