use super::*;

/// Level, logger, thread, process, and what was said.
fn said(line: &str) -> Option<[&str; 5]> {
    let head = read(line)?;
    Some([head.level, head.logger, head.thread, head.pid, head.said])
}

#[test]
fn heads() {
    for (line, expected) in [
        ("2026-11-22 08:00:00 app INFO x", ["info", "", "app", "", "x"]),
        ("2026-11-22 08:00:00.123;INFO;x", ["info", "", "", "", "x"]),
        ("2026-11-22 08:00:00.123, INFO, x", ["info", "", "", "", "x"]),
        ("2026-11-22 08:00:00.123 level=info x", ["info", "", "", "", "x"]),
        (
            "2026-11-22 08:00:00.123:INFO:oejs.Server:main: x",
            ["info", "oejs.Server:main", "", "", "x"],
        ),
        (
            "[2026-11-22 08:00:00 123] [INFO] [main] [core] [all started]",
            ["info", "", "main", "", "all started"],
        ),
        (
            "2026-11-22 08:00:00,123 WARN  [org.keycloak.events] (executor-1) type=X",
            ["warn", "org.keycloak.events", "executor-1", "", "type=X"],
        ),
        (
            "2026-11-22 08:00:00.1234|ERROR|His.Web.Login|refused",
            ["error", "His.Web.Login", "", "", "refused"],
        ),
        (
            "2026-11-22 08:00:00,123 [8] INFO  His.Web.Global [(null)] - started",
            ["info", "His.Web.Global", "8", "", "started"],
        ),
        (
            "[2026-11-22 08:00:00] production.ERROR: no bed",
            ["error", "production", "", "", "no bed"],
        ),
        (
            "INFO  [main] 2026-11-22 08:00:00,123 CassandraDaemon.java:507 - started",
            ["info", "CassandraDaemon.java:507", "main", "", "started"],
        ),
        (
            "2026.11.22 08:00:00.123456 [ 811 ] {} <Error> TCPHandler: Code: 516",
            ["error", "", "811", "", "TCPHandler: Code: 516"],
        ),
        (
            "2026-11-22 08:00:00,123 - his.ward - INFO - admitted",
            ["info", "his.ward", "", "", "admitted"],
        ),
        (
            "2026-11-22 08:00:00.123 | WARNING  | his.ward:admit:12 - no bed",
            ["warning", "his.ward:admit:12", "", "", "no bed"],
        ),
        (
            "2026-11-22T08:00:00.123+0800\tINFO\tward/ward.go:12\tadmitted\t{}",
            ["info", "ward/ward.go:12", "", "", "admitted\t{}"],
        ),
        ("[2026-11-22T08:00:00Z WARN  his::ward] no bed", ["warn", "his::ward", "", "", "no bed"]),
        (
            "I, [2026-11-22T08:00:00.123456 #811]  INFO -- : Started",
            ["info", "", "", "811", "Started"],
        ),
        (
            "I1122 08:00:00.123456     811 server.go:12] started",
            ["info", "server.go:12", "", "811", "started"],
        ),
        (
            "[2026-11-22T08:00:00.123] [INFO] default - started",
            ["info", "default", "", "", "started"],
        ),
        ("2026-11-22 08:00:00.123 +08:00 [INF] started", ["info", "", "", "", "started"]),
        (
            "【2026年11月22日 08:00:00】【错误】数据库连接失败",
            ["error", "", "", "", "数据库连接失败"],
        ),
        (
            "[2026/11/22 08:00:00.123 +08:00] [INFO] [server.go:12] [\"new connection\"] [conn=5]",
            ["info", "server.go:12", "", "", "[\"new connection\"] [conn=5]"],
        ),
        (
            "2026-11-22 08:00:00,123 [myid:1] - INFO  [main:Quorum@117] - started",
            ["info", "", "myid:1", "", "started"],
        ),
        (
            "[#|2026-11-22T08:00:00.123+0800|WARNING|web7|javax.ejb|_ThreadID=1;_ThreadName=main;|no bed|#]",
            ["warning", "javax.ejb", "", "", "no bed"],
        ),
        ("2026-11-22 08:00:00.123 error: no bed", ["error", "", "", "", "no bed"]),
        (
            "[2026-11-22 08:00:00,123] INFO started (kafka.server.KafkaServer)",
            ["info", "kafka.server.KafkaServer", "", "", "started"],
        ),
    ] {
        assert_eq!(said(line), Some(expected), "{line}");
    }
}

#[test]
fn no_heads() {
    for line in [
        "",
        "2026-11-22 08:00:00",
        "2026-11-22 08:00:00 started",
        "2026-11-22 08:00:00 Error in ward 7",
        "2026-11-22 08:00:00 the ward has an ERROR",
        "2026-11-22 08:00:00 [192.0.2.7] [admin] said ERROR here",
        "[ERROR] no stamp",
        "INFO: no stamp",
        "ERROR in ward 7 at 2026-11-22 08:00:00",
        "2026-11-22 08:00:00 W3SVC1 192.0.2.9 GET /a",
        "192.0.2.7 - - [22/Nov/2026:08:00:00 +0800] \"GET / HTTP/1.1\" 200 1",
        "[[[[[[[[[[[[[[[[",
        "[2026-11-22 08:00:00",
    ] {
        assert_eq!(said(line), None, "{line}");
    }
}
