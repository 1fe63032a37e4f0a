// Package verify finds out whether all regions hold the same rows: it compares their ledgers, proves what differs, and says
// who is right.
//
// In the flow it stands outside: it asks the regions' processes (inspect) and changes nothing. A difference is drift only
// when it is proven that nothing which is still on its way would end it.
package verify
