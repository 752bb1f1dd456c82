//! Placeholders and their lists.

use super::*;

#[test]
fn a_placeholder_is_each_value_of_its_list() {
    item("f|expand: '%Servers%'").met(["srv", "SRV9", "dc01"]).not_met([
        "%Servers%",
        "web",
        "dc011",
    ]);
    item("f|expand: 'x-%Admins%'").met(["x-root", "X-A.B"]).not_met(["x-", "root", "x-acb"]);
    item("f|expand: '%Admins%@%Servers%'")
        .met(["root@srv1", "a.b@dc01"])
        .not_met(["root@web", "root"]);
    item("f|expand: ['%Admins%', other]").met(["root", "other"]).not_met(["x"]);
    item("f|expand|contains: '%Admins%'").met(["is root here"]).not_met(["is toor"]);
    item("f|contains|expand: '%Admins%'").met(["is root here"]).not_met(["is toor"]);
    item("f|expand|startswith: '%Admins%'").met(["rootkit"]).not_met(["xroot"]);
    item("f|expand|cased: '%Admins%'").met(["root"]).not_met(["Root"]);
    item("f|expand|neq: '%Admins%'").met(["x"]).not_met(["root", "a.b"]);
    item("f|expand|base64: '%Admins%'").met(["cm9vdA=="]).not_met(["root"]);
    item("f|expand|cidr: '%Nets%'").met(["10.1.1.1", "fe80::1"]).not_met(["11.0.0.1"]);
    // Any of a list's values will do, whatever `all` asks of the values beside it.
    item("f|expand|contains|all: ['%Admins%', x]").met(["x root"]).not_met(["root", "x"]);
}

#[test]
fn in_an_expression_a_list_stands_for_its_texts() {
    item("f|re|expand: '^%Admins%$'").met(["root", "a.b"]).not_met(["acb", "xroot", "Root"]);
    item("f|expand|re: '^%Admins%$'").met(["root"]).not_met(["xroot"]);
}

#[test]
fn only_expand_makes_placeholders() {
    item("f: '%Servers%'").met(["%servers%"]).not_met(["srv1"]);
    item(r"f|expand: '\%plain%Admins%'").met(["%plainroot"]).not_met(["root"]);
    item("f|expand: '100%'").met(["100%"]).not_met(["100"]);
    item("f|expand: 'a % b % c'").met(["a % b % c"]);
}

#[test]
fn a_rule_without_its_list_is_refused_by_the_lists_name() {
    refused("f|expand: '%Nobody%'", "%Nobody%");
    refused("f|expand: ['%Admins%', '%Nobody%']", "%Nobody%");
    refused("f|re|expand: '%Nobody%'", "%Nobody%");
    refused("f|expand: '%Empty%'", "%Empty%");
    refused("f|expand: '%servers%'", "%servers%");
}
