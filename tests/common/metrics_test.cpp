#include "common/metrics.h"

#include <doctest/doctest.h>

TEST_CASE("a page of metrics is what Prometheus reads") {
    common::Metrics metrics;
    metrics.gauge("holdfast_nodes", "Nodes of the session.", std::uint64_t{12});
    metrics.gauge("holdfast_age_seconds", "Age.", 0.25);
    metrics.counter("holdfast_commits_total", "Commits.", 18'446'744'073'709'551'615U);
    metrics.head("holdfast_visitors_total", "Visitors.", "counter");
    metrics.labelled("holdfast_visitors_total", "kind", "tls", 3);
    metrics.labelled("holdfast_visitors_total", "kind", "a \"b\\\n\x01", 0);
    CHECK(metrics.text() ==
          "# HELP holdfast_nodes Nodes of the session.\n"
          "# TYPE holdfast_nodes gauge\n"
          "holdfast_nodes 12\n"
          "# HELP holdfast_age_seconds Age.\n"
          "# TYPE holdfast_age_seconds gauge\n"
          "holdfast_age_seconds 0.25\n"
          "# HELP holdfast_commits_total Commits.\n"
          "# TYPE holdfast_commits_total counter\n"
          "holdfast_commits_total 18446744073709551615\n"
          "# HELP holdfast_visitors_total Visitors.\n"
          "# TYPE holdfast_visitors_total counter\n"
          "holdfast_visitors_total{kind=\"tls\"} 3\n"
          "holdfast_visitors_total{kind=\"a \\\"b\\\\\\n\"} 0\n");
}
