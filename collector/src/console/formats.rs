//! Alerts in the formats others read: OCSF Detection Finding, Atom.

use serde_json::{Value, json};

use crate::alerts::{Alert, State};
use crate::time;

/// The schema the objects follow.
const OCSF_VERSION: &str = "1.3.0";
const FINDINGS: u32 = 2;
const DETECTION_FINDING: u32 = 2004;

/// A Detection Finding (class 2004). What OCSF has no place for is under `unmapped`.
pub(super) fn ocsf(alert: &Alert) -> Value {
    let (activity, activity_name) = match (alert.state, alert.changes.is_empty()) {
        (State::New, true) => (1, "Create"),
        (State::New | State::Acknowledged, _) => (2, "Update"),
        _ => (3, "Close"),
    };
    let (severity, severity_name) = match alert.rule.level.as_str() {
        "critical" => (5, "Critical"),
        "high" => (4, "High"),
        "medium" => (3, "Medium"),
        "low" => (2, "Low"),
        _ => (1, "Informational"),
    };
    let (status, status_name) = match alert.state {
        State::New => (1, "New"),
        State::Acknowledged => (2, "In Progress"),
        State::FalsePositive | State::AcceptedRisk => (3, "Suppressed"),
        State::TruePositive => (4, "Resolved"),
    };
    let techniques = alert.tags.iter().filter_map(|tag| tag.strip_prefix("attack.t"));
    let attacks: Vec<Value> = techniques
        .map(|id| json!({"technique": {"uid": format!("T{}", id.to_uppercase())}}))
        .collect();
    let evidences: Vec<Value> = alert.evidence.iter().map(|it| json!({"data": it})).collect();
    json!({
        "class_uid": DETECTION_FINDING,
        "class_name": "Detection Finding",
        "category_uid": FINDINGS,
        "category_name": "Findings",
        "activity_id": activity,
        "activity_name": activity_name,
        "type_uid": DETECTION_FINDING * 100 + activity,
        "severity_id": severity,
        "severity": severity_name,
        "status_id": status,
        "status": status_name,
        "time": millis(alert.changes.last().map_or(&alert.last_seen, |change| &change.time)),
        "message": alert.rule.title,
        "count": alert.count,
        "start_time": millis(&alert.first_seen),
        "end_time": millis(&alert.last_seen),
        "comment": alert.changes.last().map(|change| &change.reason),
        "metadata": {
            "version": OCSF_VERSION,
            "uid": alert.id,
            "product": {
                "name": "Hengwei", "vendor_name": "Hengwei", "version": env!("CARGO_PKG_VERSION"),
            },
        },
        "finding_info": {
            "uid": alert.id,
            "title": alert.rule.title,
            "created_time": millis(&alert.raised),
            "first_seen_time": millis(&alert.first_seen),
            "last_seen_time": millis(&alert.last_seen),
            "analytic": {
                "uid": alert.rule.id, "name": alert.rule.title, "type_id": 1, "type": "Rule",
            },
            "attacks": attacks,
        },
        "evidences": evidences,
        "resources": [{"uid": alert.agent, "name": alert.host, "type": "host"}],
        "remediation": alert.advice.get("en").map(|advice| json!({"desc": advice})),
        "unmapped": {
            "entity": alert.entity, "site": alert.site, "system": alert.system,
            "tags": alert.tags, "related": alert.related, "title_zh": alert.rule.title_zh,
            "advice": alert.advice, "changes": alert.changes,
        },
    })
}

/// Milliseconds since the epoch, as OCSF counts; None for what is no time.
fn millis(rfc3339: &str) -> Option<i64> {
    time::parse(rfc3339).map(|nanos| nanos.div_euclid(1_000_000))
}

/// An Atom feed of alerts, newest first. `now` dates an empty feed.
pub(super) fn atom(alerts: &[Alert], host: &str, now: i64) -> String {
    let host = xml(host);
    let changed = |alert: &Alert| match alert.changes.last() {
        Some(change) => change.time.clone(),
        None => alert.raised.clone(),
    };
    let updated = alerts.iter().map(changed).max().unwrap_or_else(|| {
        let now = jiff::Timestamp::from_nanosecond(i128::from(now)).unwrap_or_default();
        now.to_string()
    });
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <feed xmlns=\"http://www.w3.org/2005/Atom\">\n\
         <title>衡卫告警 Hengwei alerts</title>\n\
         <id>https://{host}/api/v1/alerts.atom</id>\n\
         <link rel=\"self\" href=\"https://{host}/api/v1/alerts.atom\"/>\n\
         <author><name>Hengwei</name></author>\n\
         <updated>{}</updated>\n",
        xml(&updated),
    );
    for alert in alerts {
        let title = match alert.rule.title_zh.is_empty() {
            true => alert.rule.title.clone(),
            false => format!("{} {}", alert.rule.title_zh, alert.rule.title),
        };
        let (level, entity) = (&alert.rule.level, &alert.entity);
        let summary = format!(
            "{}={} on {}: {} events, {} to {}",
            entity.kind, entity.value, alert.host, alert.count, alert.first_seen, alert.last_seen,
        );
        text.push_str(&format!(
            "<entry>\n<title>{}</title>\n<id>urn:hengwei:alert:{id}</id>\n\
             <link href=\"https://{host}/alerts/{link}\"/>\n<published>{}</published>\n\
             <updated>{}</updated>\n<category term=\"{}\"/>\n<summary>{}</summary>\n</entry>\n",
            xml(&format!("[{level}] {title}")),
            xml(&alert.raised),
            xml(&changed(alert)),
            xml(level),
            xml(&summary),
            id = xml(&super::guard::encode(&alert.id)),
            link = xml(&super::guard::encode(&alert.id)),
        ));
    }
    text.push_str("</feed>\n");
    text
}

/// Text as XML: escaped, and without the characters XML can't hold at all.
fn xml(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&apos;"),
            '\t' | '\n' | '\r' => safe.push(c),
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::super::tests::alert;
    use super::*;
    use crate::alerts::Change;

    #[test]
    fn a_finding_follows_the_life_of_the_alert() {
        let mut it = alert("a1", "high");
        let found = ocsf(&it);
        assert_eq!(found["class_uid"], 2004);
        assert_eq!(found["type_uid"], 200_401);
        assert_eq!((&found["severity_id"], &found["status_id"]), (&json!(4), &json!(1)));
        assert_eq!(found["time"], 1_700_000_060_000_i64);
        assert_eq!(found["finding_info"]["attacks"][0]["technique"]["uid"], "T1110.001");
        assert_eq!(found["unmapped"]["entity"]["value"], "192.0.2.9");
        it.state = State::TruePositive;
        it.changes.push(Change {
            time: "2023-11-15T00:00:00Z".to_owned(),
            who: "wanglei".to_owned(),
            state: State::TruePositive,
            reason: "blocked at the firewall".to_owned(),
            expires: None,
        });
        let found = ocsf(&it);
        assert_eq!((&found["type_uid"], &found["status_id"]), (&json!(200_403), &json!(4)));
        assert_eq!(found["comment"], "blocked at the firewall");
    }

    #[test]
    fn a_hostile_value_stays_text_in_the_feed() {
        let mut it = alert("a1", "high");
        it.entity.value = "</summary><script>\u{0}\u{1b}".to_owned();
        let text = atom(&[it], "hw.example:8443", 0);
        assert!(text.contains("&lt;/summary&gt;&lt;script&gt;\u{fffd}\u{fffd}"), "{text}");
        assert!(text.contains("<link href=\"https://hw.example:8443/alerts/a1\"/>"), "{text}");
        assert!(atom(&[], "h", 0).contains("<updated>1970-01-01T00:00:00Z</updated>"));
    }
}
