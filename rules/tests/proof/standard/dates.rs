//! Parts of dates, without regard to zones.

use serde_json::json;

use super::*;

const MOMENT: &str = "2026-02-03T04:05:06Z";

#[test]
fn each_part_is_a_number() {
    for (part, number) in
        [("minute", 5), ("hour", 4), ("day", 3), ("week", 6), ("month", 2), ("year", 2026)]
    {
        item(&format!("f|{part}: {number}")).met([MOMENT]).not_met(["2027-03-04T05:06:07Z"]);
        item(&format!("f|{part}: {}", number + 1)).not_met([MOMENT]);
        item(&format!("f|{part}|neq: {number}")).not_met([MOMENT]).met(["2027-03-04T05:06:07Z"]);
        item(&format!("f|{part}|gt: {number}")).not_met([MOMENT]);
        item(&format!("f|{part}|gte: {number}")).met([MOMENT]);
        item(&format!("f|{part}|lt: {number}")).not_met([MOMENT]);
        item(&format!("f|{part}|lte: {number}")).met([MOMENT]);
        item(&format!("f|{part}: [{}, {number}]", number + 1)).met([MOMENT]);
    }
    item("f|hour: '4'").met([MOMENT]);
}

#[test]
fn the_hour_is_the_one_that_is_written() {
    // The standard: not designed to handle time zones.
    item("f|hour: 23").met(["2026-02-03T23:05:06+08:00", "2026-02-03 23:00:00"]).not_met([MOMENT]);
    item("f|hour: 0").met(["2026-02-03T00:00:00.000"]).not_met(["2026-02-03"]);
    item("f|day: 3").met(["2026-02-03", "2026-02-03T99:99:99"]).not_met(["2026-02-30x", "03"]);
}

#[test]
fn ends_of_their_ranges() {
    item("f|minute: 59").met(["2026-12-31T23:59:59Z"]);
    item("f|month: 12").met(["2026-12-31T23:59:59Z"]);
    item("f|week: 53").met(["2026-12-31T23:59:59Z", "2021-01-01"]).not_met(["2024-12-30"]);
    item("f|week: 1").met(["2024-12-30", "2026-01-01"]).not_met(["2021-01-01"]);
    item("f|day: 29").met(["2024-02-29T00:00:00Z"]);
}

#[test]
fn a_number_is_a_time_since_1970() {
    // 2024-02-29 12:34:56 UTC, in seconds, milliseconds, as a number and as text.
    for value in [json!(1_709_210_096), json!(1_709_210_096_000_i64), json!("1709210096")] {
        item("f|hour: 12").met([value.clone()]);
        item("f|day: 29").met([value.clone()]);
        item("f|year|gt: 2023").met([value]);
    }
}

#[test]
fn what_is_no_date_has_no_part() {
    for value in [json!("noon"), json!(""), json!(null), json!(true), json!("2026-13-01")] {
        item("f|month|gte: 0").not_met([value]);
    }
    item("f|month|gte: 0").not_met_by([json!({})]);
    refused("f|hour: noon", "whole number");
    refused("f|hour: 1.5", "whole number");
    refused("f|hour: null", "whole number");
    refused("f|hour|day: 1", "two parts");
    refused("f|hour|contains: 1", "together");
    refused("f|hour|re: 1", "together");
}
