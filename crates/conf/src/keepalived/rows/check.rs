//! Layer-4 services, their health checks, and BFD.

use super::{Directive, MANY, later, missed, moot, rows};

rows! {
    in [Root] {
        "bfd_instance" "NAME (<= 31 chars) { ... }" 1..1 T3 Bfd later() "Asynchronous BFD session (single hop 3784, multihop 4784).";
    }
    in [Bfd] {
        "neighbor_ip" "ADDR" 1..1 T3 line later() "Address of the peer.";
        "neighbour_ip" "ADDR" 1..1 T3 line later() "The same as neighbor_ip.";
        "source_ip" "ADDR" 1..1 T3 line later() "Source.";
        "min_rx" "ms, 3 decimals" 1..1 T3 line later() "Required min RX interval.";
        "min_tx" "ms" 1..1 T3 line later() "Desired min TX interval.";
        "idle_tx" "ms >= 1000" 1..1 T3 line later() "TX interval while not Up.";
        "multiplier" "1..255" 1..1 T3 line later() "Detection multiplier.";
        "passive" "" 0..0 T3 line later() "Do not send until the peer does.";
        "ttl" "1..255" 1..1 T3 line later() "Sent TTL.";
        "hoplimit" "1..255" 1..1 T3 line later() "Hop limit of what is sent, for IPv6.";
        "max_hops" "-1..255" 1..1 T3 line later() "Accepted TTL loss.";
        "multihop" "[BOOL]" 0..1 T3 line later() "RFC 5883 port.";
        "weight" "-253..253 [reverse]" 1..2 T3 line later() "Default tracking weight (VRRP side).";
        "vrrp" "" 0..0 T3 line later() "Send events to the VRRP child only.";
        "checker" "" 0..0 T3 line later() "Send events to the checker child only.";
    }
    in [Root] {
        "SSL" "{ ... }" 0..0 T3 Ssl later() "Client certificate settings for SSL_GET.";
    }
    in [Ssl] {
        "password" "STRING" 1..1 T3 line later() "Key passphrase.";
        "ca" "FILE" 1..1 T3 line later() "CA file.";
        "certificate" "FILE" 1..1 T3 line later() "Certificate.";
        "key" "FILE" 1..1 T3 line later() "Private key.";
    }
    in [Root] {
        "virtual_server_group" "NAME { ADDR[-range|/mask] [PORT] | fwmark N [inet|inet6] ... }" 1..1 T2 values later() "Addresses and marks that share one virtual server.";
        "virtual_server" "ADDR [PORT] | fwmark N | group NAME { ... }" 1..3 T1 VirtualServer missed() "One IPVS service (or family of services).";
    }
    in [VirtualServer] {
        "ip_family" "inet | inet6" 1..1 T3 line later() "Family of a fwmark service.";
        "protocol" "TCP | UDP | SCTP" 1..1 T1 line later() "Layer-4 protocol of an address service.";
        "lb_algo" "rr wrr lc wlc lblc sh mh dh fo ovf lblcr sed nq twos" 1..1 T1 line later() "Scheduler.";
        "lvs_sched" "SCHEDULER" 1..1 T1 line later() "Preferred spelling of lb_algo.";
        "lb_kind" "NAT | DR | TUN [type ipip|gue port N|gre] [nocsum|csum|remcsum]" 1..MANY T1 line later() "Forwarding method.";
        "lvs_method" "NAT | DR | TUN ..." 1..MANY T1 line later() "Preferred spelling of lb_kind.";
        "persistence_timeout" "[SECONDS]" 0..1 T1 line later() "Persistent service.";
        "persistence_granularity" "NETMASK or prefix length" 1..1 T3 line later() "Client grouping (implies persistence).";
        "persistence_engine" "NAME" 1..1 T3 line later() "Persistence engine of the kernel, such as sip.";
        "hashed" "" 0..0 T4 line moot("keepalived does nothing with it either") "Accepted without meaning.";
        "ops" "" 0..0 T3 line later() "One-packet scheduling (UDP).";
        "flag-1" "" 0..0 T3 line later() "Generic scheduler flag 1.";
        "flag-2" "" 0..0 T3 line later() "Generic scheduler flag 2.";
        "flag-3" "" 0..0 T3 line later() "Generic scheduler flag 3.";
        "sh-port" "" 0..0 T3 line later() "Hash the port too; needs the scheduler sh.";
        "sh-fallback" "" 0..0 T3 line later() "Choose another server when the hashed one is down; needs the scheduler sh.";
        "mh-port" "" 0..0 T3 line later() "Hash the port too; needs the scheduler mh.";
        "mh-fallback" "" 0..0 T3 line later() "Choose another server when the hashed one is down; needs the scheduler mh.";
        "weight" "1..2^31-1" 1..1 T3 line later() "Default real server weight.";
        "delay_loop" "decimal s" 1..1 T1 line later() "Poll interval default.";
        "connect_timeout" "decimal s" 1..1 T2 line later() "Default connect timeout.";
        "retry" ">= 1" 1..1 T2 line later() "Default retries.";
        "delay_before_retry" "decimal s" 1..1 T2 line later() "Default delay before retry.";
        "warmup" "decimal s" 1..1 T3 line later() "Upper bound of the random start delay.";
        "inhibit_on_failure" "" 0..0 T2 line later() "Failed real server keeps an entry with weight 0.";
        "alpha" "" 0..0 T2 line later() "Start with all real server assumed down.";
        "omega" "" 0..0 T3 line later() "Run down notifications at exit.";
        "quorum" ">= 1" 1..1 T2 line later() "Sum of weights needed.";
        "hysteresis" ">= 0" 1..1 T3 line later() "Dampening of quorum changes.";
        "quorum_up" "\"CMD\" [user [:][group]]" 1..4 T2 line later() "Script on gain.";
        "quorum_down" "\"CMD\" [user [:][group]]" 1..4 T2 line later() "Script on loss.";
        "ha_suspend" "" 0..0 T3 line later() "Suspend checkers while the VS address is not present locally.";
        "smtp_alert" "[BOOL]" 0..1 T3 line later() "Mail on quorum change.";
        "virtualhost" "STRING" 1..1 T2 line later() "Default Host header.";
        "snmp_name" "STRING" 1..1 T3 line later() "Label in SNMP.";
        "sorry_server" "ADDR [PORT]" 1..2 T1 line later() "Server of last resort.";
        "sorry_server_inhibit" "" 0..0 T3 line later() "Keep the sorry server in the table with weight 0 while it is not needed.";
        "sorry_server_lvs_method" "NAT | DR | TUN ..." 1..MANY T3 line later() "Forwarding of the sorry server.";
        "real_server" "ADDR [PORT] { ... }" 1..2 T1 RealServer later() "One destination.";
    }
    in [RealServer] {
        "weight" "0..2^31-1" 1..1 T1 line later() "Weight.";
        "lvs_method" "NAT | DR | TUN ..." 1..MANY T2 line later() "Forwarding method of this server.";
        "uthreshold" "N" 1..1 T3 line later() "IPVS upper connection threshold.";
        "lthreshold" "N" 1..1 T3 line later() "IPVS lower threshold.";
        "inhibit_on_failure" "[BOOL]" 0..1 T2 line later() "Keep it with weight 0 when it fails of this server.";
        "notify_up" "\"CMD\" [user [:][group]]" 1..4 T2 line later() "Script on up.";
        "notify_down" "\"CMD\" [user [:][group]]" 1..4 T2 line later() "Script on down.";
        "alpha" "[BOOL]" 0..1 T3 line later() "Start as down of this server.";
        "retry" ">= 1" 1..1 T2 line later() "Retries of this server.";
        "delay_before_retry" "decimal s" 1..1 T2 line later() "Delay before a retry of this server.";
        "warmup" "decimal s" 1..1 T3 line later() "Bound of the random start delay of this server.";
        "connect_timeout" "decimal s" 1..1 T2 line later() "Connect timeout of this server.";
        "delay_loop" "decimal s" 1..1 T2 line later() "Poll interval of this server.";
        "smtp_alert" "[BOOL]" 0..1 T3 line later() "Mail when this server comes or goes.";
        "virtualhost" "STRING" 1..1 T3 line later() "Host header of this server.";
        "snmp_name" "STRING" 1..1 T3 line later() "Label.";
    }
    in [HttpGet SslGet TcpCheck PingCheck UdpCheck SmtpCheck SmtpHost DnsCheck] {
        "connect_ip" "ADDR" 1..1 T3 line later() "Target.";
        "connect_port" "PORT" 1..1 T1 line later() "Target port (a real server without port needs it for TCP-like checks).";
        "bindto" "ADDR" 1..1 T3 line later() "Source address.";
        "bind_port" "PORT" 1..1 T3 line later() "Source port.";
        "bind_if" "IF" 1..1 T3 line later() "SO_BINDTODEVICE (needed for link-local).";
        "connect_timeout" "decimal s" 1..1 T1 line later() "Timeout.";
        "fwmark" "N" 1..1 T3 line later() "SO_MARK.";
    }
    in [HttpGet SslGet TcpCheck PingCheck UdpCheck SmtpCheck DnsCheck MiscCheck] {
        "retry" ">= 0" 1..1 T1 line later() "Retries after the first failure.";
        "delay_before_retry" "decimal s" 1..1 T1 line later() "Delay between retries.";
        "warmup" "decimal s" 1..1 T3 line later() "Random start delay bound.";
        "delay_loop" "decimal s" 1..1 T2 line later() "Poll interval.";
        "alpha" "[BOOL]" 0..1 T3 line later() "Start down.";
        "log_all_failures" "[BOOL]" 0..1 T3 line later() "Log each failed probe.";
    }
    in [RealServer] {
        "HTTP_GET" "{ ... }" 0..0 T1 HttpGet later() "HTTP probe.";
        "SSL_GET" "{ ... }" 0..0 T2 SslGet later() "HTTPS probe (certificates are not verified).";
    }
    in [HttpGet SslGet] {
        "nb_get_retry" "N" 1..1 T4 line later() "Deprecated name of retry.";
        "virtualhost" "STRING" 1..1 T2 line later() "Host header for this checker.";
        "http_protocol" "1.0 | 1.0C | 1.1" 1..1 T3 line later() "Request version.";
        "enable_sni" "" 0..0 T2 line later() "Send SNI (SSL_GET).";
        "sni_name" "NAME" 1..1 T3 line later() "Explicit SNI value (new after 2.4.3).";
        "fast_recovery" "[BOOL]" 0..1 T3 line later() "No delay between URLs when recovering.";
        "tls_compliant" "" 0..0 T3 line later() "Send close_notify at the end.";
        "url" "{ ... }" 0..0 T1 Url later() "One request.";
    }
    in [Url] {
        "path" "STRING" 1..1 T1 line later() "Request path.";
        "digest" "32 hex digits" 1..1 T2 line later() "MD5 of the body.";
        "status_code" "N | N-M ..." 1..MANY T1 line later() "Accepted codes.";
        "virtualhost" "STRING" 1..1 T3 line later() "Host header for this URL.";
        "regex" "PCRE2" 1..1 T3 line later() "Body must match.";
        "regex_no_match" "" 0..0 T3 line later() "Fail when the pattern matches.";
        "regex_options" "WORDS" 1..MANY T3 line later() "PCRE2 compile options.";
        "regex_min_offset" "BYTES" 1..1 T3 line later() "Start of search.";
        "regex_max_offset" "BYTES" 1..1 T3 line later() "Latest match start.";
        "regex_stack" "START MAX" 2..2 T3 line later() "JIT stack.";
        "tls_compliant" "" 0..0 T3 line later() "Per-URL close_notify.";
    }
    in [RealServer] {
        "TCP_CHECK" "{ ... }" 0..0 T1 TcpCheck later() "Connect succeeded = up.";
        "PING_CHECK" "{ ... }" 0..0 T3 PingCheck later() "ICMP echo through an unprivileged ping socket.";
        "UDP_CHECK" "{ ... }" 0..0 T2 UdpCheck later() "Send a datagram; an ICMP error means down.";
    }
    in [UdpCheck] {
        "payload" "HEX" 1..1 T3 line later() "Bytes to send.";
        "require_reply" "[HEX with x wildcards]" 0..1 T3 line later() "A reply is needed (optionally matching).";
        "min_reply_length" "0..65535" 1..1 T3 line later() "Shortest reply that counts.";
        "max_reply_length" "0..65535" 1..1 T3 line later() "Longest reply that counts.";
    }
    in [RealServer] {
        "SMTP_CHECK" "{ ... }" 0..0 T2 SmtpCheck later() "220 / HELO 250 / QUIT dialogue.";
    }
    in [SmtpCheck] {
        "helo_name" "STRING" 1..1 T3 line later() "HELO argument.";
        "host" "{ connect_* ... }" 0..0 T4 SmtpHost later() "Old block with the connection settings of one host.";
    }
    in [RealServer] {
        "DNS_CHECK" "{ ... }" 0..0 T2 DnsCheck later() "UDP query, rcode 0 = up.";
    }
    in [DnsCheck] {
        "type" "A NS CNAME SOA MX TXT AAAA ..." 1..1 T3 line later() "Query type.";
        "name" "DOMAIN" 1..1 T3 line later() "Query name.";
    }
    in [RealServer] {
        "MISC_CHECK" "{ ... }" 0..0 T2 MiscCheck later() "Program exit status.";
    }
    in [MiscCheck] {
        "misc_path" "\"CMD\"" 1..4 T2 line later() "Program.";
        "misc_timeout" "SECONDS" 1..1 T2 line later() "A run longer than this is ended and counts as failed.";
        "misc_dynamic" "" 0..0 T3 line later() "Exit 2..255 sets weight.";
        "user" "USER [[:]GROUP]" 1..3 T3 line later() "Identity.";
    }
    in [RealServer] {
        "FILE_CHECK" "{ ... }" 0..0 T3 FileCheck later() "Use a track_file for weight/state.";
    }
    in [FileCheck] {
        "track_file" "NAME" 1..1 T3 line later() "The track_file to follow.";
        "weight" "+-(2^31-1) [reverse|noreverse]" 1..2 T3 line later() "Multiplier of the value in the file.";
    }
    in [RealServer] {
        "BFD_CHECK" "{ ... }" 0..0 T3 BfdCheck later() "Follow a bfd_instance.";
    }
    in [BfdCheck] {
        "name" "BFD NAME" 1..1 T3 line later() "Session.";
        "alpha" "[BOOL]" 0..1 T3 line later() "Start down.";
    }
}
