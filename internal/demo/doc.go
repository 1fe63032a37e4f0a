// Package demo shows Meridian at work on one machine: real database servers, one `syncer run` process for each region, an
// application that writes in all regions at once, a line between regions that is cut and healed, and at the end a
// comparison of all databases by SQL alone.
//
// It stands beside the flow, not in it. It drives what users run: it writes a configuration file, applies what `syncer
// schema` prints, starts the program itself once per region, and watches /v1/status. Nothing of it shares code with
// capture, ledger or apply; the comparison above all does not.
package demo
