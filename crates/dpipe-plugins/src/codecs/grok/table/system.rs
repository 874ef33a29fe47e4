//! Logs of systems: syslog, cron, name servers.

use super::{Entry, both, same};

pub(super) const SYSTEM: &[Entry] = &[
    same("SYSLOG5424PRINTASCII", r"[!-~]+"),
    both(
        "SYSLOGBASE2",
        concat!(
            r"(?:%{SYSLOGTIMESTAMP:timestamp}|%{TIMESTAMP_ISO8601:timestamp8601}) ",
            r"(?:%{SYSLOGFACILITY} )?%{SYSLOGHOST:logsource}+(?: %{SYSLOGPROG}:|)",
        ),
        concat!(
            r"(?:%{SYSLOGTIMESTAMP:timestamp}|%{TIMESTAMP_ISO8601:timestamp}) ",
            r"(?:%{SYSLOGFACILITY} )?(?:%{SYSLOGHOST:[host][hostname]}(?: %{SYSLOGPROG}:|))?",
        ),
    ),
    both(
        "SYSLOGPAMSESSION",
        concat!(
            r"%{SYSLOGBASE} (?:%{GREEDYDATA:message})?%{WORD:pam_module}\(%{DATA:pam_caller}\): ",
            r"session %{WORD:pam_session_state} for user %{USERNAME:username}",
            r"(?: by %{GREEDYDATA:pam_by})?",
        ),
        concat!(
            r"%{SYSLOGBASE} (?:%{DATA:message} )?",
            r"%{WORD:[system][auth][pam][module]}\(%{DATA:[system][auth][pam][origin]}\): ",
            r"session %{WORD:[system][auth][pam][session_state]} for user %{USERNAME:[user][name]}",
            r"(?: by %{GREEDYDATA})?",
        ),
    ),
    same("CRON_ACTION", r"[A-Z ]+"),
    both(
        "CRONLOG",
        r"%{SYSLOGBASE} \(%{USER:user}\) %{CRON_ACTION:action} \(%{DATA:message}\)",
        concat!(
            r"%{SYSLOGBASE} \(%{USER:[user][name]}\) %{CRON_ACTION:[system][cron][action]} ",
            r"\(%{DATA:message}\)",
        ),
    ),
    same("SYSLOGLINE", r"%{SYSLOGBASE2} %{GREEDYDATA:message}"),
    both(
        "SYSLOG5424PRI",
        r"<%{NONNEGINT:syslog5424_pri}>",
        r"<%{NONNEGINT:[log][syslog][priority]:int}>",
    ),
    same("SYSLOG5424SD", r"(?:\[%{DATA}\])+"),
    both(
        "SYSLOG5424BASE",
        concat!(
            r"%{SYSLOG5424PRI}%{NONNEGINT:syslog5424_ver} +",
            r"(?:-|%{TIMESTAMP_ISO8601:syslog5424_ts}) +(?:-|%{IPORHOST:syslog5424_host}) +",
            r"(?:-|%{SYSLOG5424PRINTASCII:syslog5424_app}) +",
            r"(?:-|%{SYSLOG5424PRINTASCII:syslog5424_proc}) +",
            r"(?:-|%{SYSLOG5424PRINTASCII:syslog5424_msgid}) +",
            r"(?:-|%{SYSLOG5424SD:syslog5424_sd})?",
        ),
        concat!(
            r"%{SYSLOG5424PRI}%{NONNEGINT:[system][syslog][version]} +",
            r"(?:-|%{TIMESTAMP_ISO8601:timestamp}) +(?:-|%{IPORHOST:[host][hostname]}) +",
            r"(?:-|%{SYSLOG5424PRINTASCII:[process][name]}) +",
            r"(?:-|%{POSINT:[process][pid]:int}|%{SYSLOG5424PRINTASCII:[process][entity_id]}) +",
            r"(?:-|%{SYSLOG5424PRINTASCII:[event][code]}) +",
            r"(?:-|%{SYSLOG5424SD:[system][syslog][structured_data]})?",
        ),
    ),
    both(
        "SYSLOG5424LINE",
        r"%{SYSLOG5424BASE} +%{GREEDYDATA:syslog5424_msg}",
        r"%{SYSLOG5424BASE} +%{GREEDYDATA:message}",
    ),
    same(
        "BIND9_DNSTYPE",
        concat!(
            r"(?:A|AAAA|CAA|CDNSKEY|CDS|CERT|CNAME|CSYNC|DLV|DNAME|DNSKEY|DS|HINFO|LOC|MX|NAPTR|NS",
            r"|NSEC|NSEC3|OPENPGPKEY|PTR|RRSIG|RP|SIG|SMIMEA|SOA|SRV|TSIG|TXT|URI)",
        ),
    ),
    same("BIND9_CATEGORY", r"(?:queries)"),
    same("BIND9_TIMESTAMP", r"%{MONTHDAY}[-]%{MONTH}[-]%{YEAR} %{TIME}"),
    both(
        "BIND9",
        concat!(
            r"%{BIND9_TIMESTAMP:timestamp} queries: %{LOGLEVEL:loglevel}: ",
            r"client(?: @0x[0-9A-Fa-f]+)? %{IP:clientip}#%{POSINT:clientport} ",
            r"\(%{GREEDYDATA:query}\): query: %{GREEDYDATA:query} IN ",
            r"%{BIND9_DNSTYPE:querytype}(?: %{DATA})? \(%{IP:dns}\)",
        ),
        concat!(
            r"%{BIND9_TIMESTAMP:timestamp} %{BIND9_CATEGORY:[bind][log][category]}: ",
            r"%{LOGLEVEL:[log][level]}: client(?: (?:@0x[0-9A-Fa-f]+))? ",
            r"%{IP:[client][ip]}#%{POSINT:[client][port]:int} ",
            r"\(%{GREEDYDATA:[bind][log][question][name]}\): ",
            r"query: %{GREEDYDATA:[dns][question][name]} (?:IN) ",
            r"%{BIND9_DNSTYPE:[dns][question][type]}(?: %{DATA:[bind][log][question][flags]})? ",
            r"\(%{IP:[server][ip]}\)",
        ),
    ),
];
