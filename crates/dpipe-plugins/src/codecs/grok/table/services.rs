//! Logs of databases, application servers and language runtimes.

use super::{Entry, both, same};

pub(super) const SERVICES: &[Entry] = &[
    same("JAVACLASS", r"(?:[a-zA-Z$_][a-zA-Z$_0-9]*\.)*[a-zA-Z$_][a-zA-Z$_0-9]*"),
    same("JAVAFILE", r"[a-zA-Z$_0-9. -]+"),
    same("JAVAMETHOD", r"(?:<(?:cl)?init>|[a-zA-Z$_][a-zA-Z$_0-9]*)"),
    both(
        "JAVASTACKTRACEPART",
        r"%{SPACE}at %{JAVACLASS:class}\.%{JAVAMETHOD:method}\(%{JAVAFILE:file}(?::%{INT:line})?\)",
        concat!(
            r"%{SPACE}at %{JAVACLASS:[java][log][origin][class][name]}",
            r"\.%{JAVAMETHOD:[log][origin][function]}",
            r"\(%{JAVAFILE:[log][origin][file][name]}(?::%{INT:[log][origin][file][line]:int})?\)",
        ),
    ),
    same("JAVATHREAD", r"(?:[A-Z]{2}-Processor[0-9]+)"),
    same("JAVALOGMESSAGE", r"(?:.*)"),
    same(
        "CATALINA7_DATESTAMP",
        r"%{MONTH} %{MONTHDAY}, %{YEAR} %{HOUR}:%{MINUTE}:%{SECOND} (?:AM|PM)",
    ),
    same("CATALINA8_DATESTAMP", r"%{MONTHDAY}-%{MONTH}-%{YEAR} %{HOUR}:%{MINUTE}:%{SECOND}"),
    same("CATALINA_DATESTAMP", r"(?:%{CATALINA8_DATESTAMP}|%{CATALINA7_DATESTAMP})"),
    both(
        "CATALINA7_LOG",
        concat!(
            r"%{CATALINA7_DATESTAMP:timestamp} %{JAVACLASS:class}(?: %{JAVAMETHOD:method})?",
            r"\s*(?:%{LOGLEVEL:level}:)? %{JAVALOGMESSAGE:logmessage}",
        ),
        concat!(
            r"%{CATALINA7_DATESTAMP:timestamp} %{JAVACLASS:[java][log][origin][class][name]}",
            r"(?: %{JAVAMETHOD:[log][origin][function]})?\s*(?:%{LOGLEVEL:[log][level]}:)? ",
            r"%{JAVALOGMESSAGE:message}",
        ),
    ),
    both(
        "CATALINA8_LOG",
        concat!(
            r"%{CATALINA8_DATESTAMP:timestamp} %{LOGLEVEL:level} \[%{DATA:thread}\] ",
            r"%{JAVACLASS:class}\.(?:%{JAVAMETHOD:method})? %{JAVALOGMESSAGE:logmessage}",
        ),
        concat!(
            r"%{CATALINA8_DATESTAMP:timestamp} %{LOGLEVEL:[log][level]} ",
            r"\[%{DATA:[java][log][origin][thread][name]}\] ",
            r"%{JAVACLASS:[java][log][origin][class][name]}\.",
            r"(?:%{JAVAMETHOD:[log][origin][function]})? %{JAVALOGMESSAGE:message}",
        ),
    ),
    same("CATALINALOG", r"(?:%{CATALINA8_LOG}|%{CATALINA7_LOG})"),
    same(
        "TOMCAT7_DATESTAMP",
        r"%{YEAR}-%{MONTHNUM}-%{MONTHDAY} %{HOUR}:%{MINUTE}:%{SECOND} %{ISO8601_TIMEZONE}",
    ),
    same("TOMCATLEGACY_DATESTAMP", r"%{TOMCAT7_DATESTAMP}"),
    same(
        "TOMCAT_DATESTAMP",
        r"(?:%{CATALINA8_DATESTAMP}|%{CATALINA7_DATESTAMP}|%{TOMCATLEGACY_DATESTAMP})",
    ),
    both(
        "TOMCATLEGACY_LOG",
        r"%{TOMCATLEGACY_DATESTAMP:timestamp} \| %{LOGLEVEL:level} \| %{JAVACLASS:class} - %{JAVALOGMESSAGE:logmessage}",
        concat!(
            r"%{TOMCATLEGACY_DATESTAMP:timestamp} \| %{LOGLEVEL:[log][level]} \| ",
            r"%{JAVACLASS:[java][log][origin][class][name]} - %{JAVALOGMESSAGE:message}",
        ),
    ),
    same("TOMCATLOG", r"(?:%{CATALINA8_LOG}|%{CATALINA7_LOG}|%{TOMCATLEGACY_LOG})"),
    same("REDISTIMESTAMP", r"%{MONTHDAY} %{MONTH} %{TIME}"),
    both(
        "REDISLOG",
        r"\[%{POSINT:pid}\] %{REDISTIMESTAMP:timestamp} \*\s",
        r"\[%{POSINT:[process][pid]:int}\] %{REDISTIMESTAMP:timestamp} \*",
    ),
    both(
        "REDISMONLOG",
        concat!(
            r"%{NUMBER:timestamp} \[%{INT:database} %{IP:client}:%{NUMBER:port}\] ",
            r#""%{WORD:command}"\s?%{GREEDYDATA:params}"#,
        ),
        concat!(
            r"%{NUMBER:timestamp} \[%{INT:[redis][database][id]} ",
            r"%{IP:[client][ip]}:%{POSINT:[client][port]:int}\] ",
            r#""%{WORD:[redis][command][name]}"(?:\s+%{GREEDYDATA:[redis][command][args]})?"#,
        ),
    ),
    both(
        "MONGO_LOG",
        r"%{SYSLOGTIMESTAMP:timestamp} \[%{WORD:component}\] %{GREEDYDATA:message}",
        r"%{SYSLOGTIMESTAMP:timestamp} \[%{WORD:[mongodb][component]}\] %{GREEDYDATA:message}",
    ),
    same("MONGO_WORDDASH", r"\b[\w-]+\b"),
    same("MONGO3_SEVERITY", r"\w"),
    same("MONGO3_COMPONENT", r"(?:%{WORD}|-)"),
    both(
        "MONGO3_LOG",
        concat!(
            r"%{TIMESTAMP_ISO8601:timestamp} %{MONGO3_SEVERITY:severity} ",
            r"%{MONGO3_COMPONENT:component}%{SPACE}(?:\[%{DATA:context}\])? %{GREEDYDATA:message}",
        ),
        concat!(
            r"%{TIMESTAMP_ISO8601:timestamp} %{MONGO3_SEVERITY:[log][level]} ",
            r"(?:-|%{WORD:[mongodb][component]})%{SPACE}(?:\[%{DATA:[mongodb][context]}\])? ",
            r"%{GREEDYDATA:message}",
        ),
    ),
    both(
        "POSTGRESQL",
        r"%{DATESTAMP:timestamp} %{TZ} %{DATA:user_id} %{GREEDYDATA:connection_id} %{POSINT:pid}",
        concat!(
            r"%{DATESTAMP:timestamp} %{TZ:[event][timezone]} %{DATA:[user][name]} ",
            r"%{GREEDYDATA:[postgresql][log][connection_id]} %{POSINT:[process][pid]:int}",
        ),
    ),
    same("RUBY_LOGLEVEL", r"(?:DEBUG|FATAL|ERROR|WARN|INFO)"),
    both(
        "RUBY_LOGGER",
        concat!(
            r"[DFEWI], \[%{TIMESTAMP_ISO8601:timestamp} #%{POSINT:pid}\] *%{RUBY_LOGLEVEL:loglevel}",
            r" -- +%{DATA:progname}: %{GREEDYDATA:message}",
        ),
        concat!(
            r"[DFEWI], \[%{TIMESTAMP_ISO8601:timestamp} #%{POSINT:[process][pid]:int}\] *",
            r"%{RUBY_LOGLEVEL:[log][level]} -- +%{DATA:[process][name]}: %{GREEDYDATA:message}",
        ),
    ),
    same("RUUID", r"[A-Fa-f0-9]{32}"),
    both(
        "RCONTROLLER",
        r"(?P<controller>[^#]+)#(?P<action>\w+)",
        r"%{RAILS_CONSTROLLER:[rails][controller][class]}#%{RAILS_ACTION:[rails][controller][action]}",
    ),
    same("RAILS_CONSTROLLER", r"[^#]+"),
    same("RAILS_ACTION", r"\w+"),
    same("MAVEN_VERSION", r"(?:(?:[0-9]+)\.)?(?:(?:[0-9]+)\.)?[0-9]+(?:[.-](?:RELEASE|SNAPSHOT))?"),
];
