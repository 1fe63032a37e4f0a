package mysqldb

// verdicts holds what is known of the servers' error numbers.
// Sources: https://dev.mysql.com/doc/mysql-errors/9.7/en/server-error-reference.html and
// https://mariadb.com/docs/server/reference/error-codes. Where the two give a number to two things (4025, 4031, …), only one
// of them can come from the statements that Meridian sends.
var verdicts = merge(transient, refused, denied)

func merge(groups ...map[string][]uint16) map[uint16]verdict {
	classes := []Class{Transient, Refused, Denied}
	all := map[uint16]verdict{}
	for i, group := range groups {
		for reason, numbers := range group {
			for _, n := range numbers {
				all[n] = verdict{class: classes[i], reason: reason, lost: unknownOutcome[reason]}
			}
		}
	}
	return all
}

// unknownOutcome are the reasons that, as the answer to a COMMIT, do not say that there was none: the server may have
// broken off while it waited for something behind the commit itself.
var unknownOutcome = map[string]bool{"connection": true, "commit": true, "shutdown": true, "interrupted": true,
	"storage": true, "group_replication": true, "out_of_memory": true}

// transient: nothing is said about the row.
var transient = map[string][]uint16{
	// InnoDB chose this transaction to break a deadlock, or another client's lock was in the way; others held it, they go.
	"deadlock": {1213, 1614, 3058, 3132},
	"lock_timeout": {1205, 1613, 3572, 3133, 3177, // row and metadata locks (a backup's, an ALTER's), NOWAIT
		1689}, // ER_LOCK_ABORTED: a metadata lock gave way to another's
	"lock_table_full": {1206}, // the buffer pool is full of locks; others will release theirs
	// MariaDB's innodb_snapshot_isolation, and engines with optimistic locks: the row changed since it was read.
	"record_changed": {1020},
	// The table's definition changed between prepare and execute. 1205's cousin: try with the new one.
	"definition_changed": {1412, 1615},
	// The server has been made read-only (1290 names the option), or the schema or the engine has: a fail-over in progress,
	// maintenance, a forced recovery. 1036 is how MariaDB says it for innodb_read_only.
	"read_only": {1290, 1836, 1792, 1207, 1036, 1874, 1881, 3989},
	// Group Replication refuses, holds or rolls back for a reason that lies in the group.
	"group_replication": {3100, 3101, 3781, 3782, 3797, 3798, 3799, 4049},
	// Shutting down, starting, offline, killed, timed out, connection lost at the server's end.
	"shutdown": {1053, 1077, 1079, 1080, 3032, 6400, 3168,
		1047}, // ER_UNKNOWN_COM_ERROR: Galera says with it that a node is not ready
	"connection": {1152, 1154, 1155, 1156, 1157, 1158, 1159, 1160, 1161, 1184, 1835, 1927, 3169, 4031, 1042, 1043, 6141},
	"interrupted": {1317, 1028, // KILL QUERY
		1969, 3024, 1931}, // max_statement_time, max_execution_time: load, or a lock; the statement did nothing
	// Limits that others' load has used up.
	"too_many_connections": {1040, 1203, 1226, 1135},
	"out_of_memory":        {1037, 1038, 1041, 1637, 3015, 3044},
	// The disk is full or fails. An operator makes room and it goes on; until then nothing may be passed over.
	"storage": {1021, 1114, 1026, 1024, 1016, 1030, 1810, 1811, 1878, 1004, 3019, 3983,
		1534, 1593, 1598}, // the binlog cannot be written
	// COMMIT failed, or its group did. What became of the transaction must be found out.
	"commit": {1180, 1964},
}

// refused: a row, or everything for its table, is not acceptable as things are. Parked changes are tried again, so that
// what an operator mends (a missing table, a trigger) is mended for them.
var refused = map[string][]uint16{
	// 1062 by far; 1586 is its variant, 1022, 1169 and 1859 are the same without a name, 1761 and 1762 by way of a cascade.
	"duplicate_key": {1062, 1586, 1022, 1169, 1859, 1761, 1762, 1557},
	"null":          {1048, 1263, 3673, 1138},
	"no_default":    {1364, 1230, 4028}, // a column that only the target has, NOT NULL and without a default
	// The target's table is not the source's. Waits for an ALTER TABLE or CREATE TABLE here.
	"unknown_column": {1054},
	"no_table":       {1146, 1049, 1932, 1812, 1814},
	// A view, a read-only or broken kind of table under the name of the source's table.
	"not_a_table":   {1347, 1288, 1471, 1348, 1965, 4085, 4086},
	"out_of_range":  {1264, 1690, 1916, 3155, 3752, 3904, 3669, 1441},
	"too_long":      {1406, 1162, 3751, 3907},
	"truncated":     {1265, 1292, 1917, 1918, 3156, 3903},
	"wrong_value":   {1366, 1367, 1411, 1525, 1291, 1365, 3140, 3998, 6136, 6137, 6138, 4203, 4204, 4078, 4079},
	"character_set": {1300, 1267, 1270, 1271, 1977, 3854, 3988, 1115, 1273, 3995, 1919, 1922},
	"json": {3141, 3142, 3144, 3145, 3146, 3147, 3150, 3151, 3157, 3158, 3905, 3906, 3908, 3069,
		4035, 4036, 4037, 4038, 4039, 4040},
	"geometry": {1416, 3033, 3034, 3037, 3055, 3134, 3643, 3548, 3519, 3616, 3617, 3727, 3731, 3732, 4032, 4033,
		3035, 3036, 3070, 3071, 3072},
	"check_constraint": {3819, 4025, 4026, 4027},
	// Not with foreign_key_checks=0; for those who set it otherwise.
	"foreign_key":  {1451, 1452, 1216, 1217, 3008},
	"no_partition": {1526, 1591, 1748, 1863},
	// Raised by a trigger on the table, or because of one that cannot run.
	"trigger": {1644, 1645, 1643, 1442, 1362, 1363, 1305, 1449, 1456, 1329, 1422, 1424, 1415, 1172,
		1602, 1606, 1710, 1711, 1339},
	"generated_column": {3105, 1906, 1907},
	// One row too large for what the server accepts, or a transaction too large for its cache: a smaller batch helps.
	"too_large": {1153, 1118, 1301, 1713, 1197, 1705, 3231, 1119, 3068},
	// A table that cannot be written in a transaction of ours, whatever the row. The preflight warns of such tables.
	"engine": {1785, 3098, 1031, 1178, 1286, 1726, 1661, 1662, 1664, 1665, 1667, 4047},
	// The table itself is damaged. It must not hold up the others.
	"corrupt_table": {1034, 1035, 1194, 1195, 1712, 1817, 1877, 1707},
}

// denied: a person must act, on the server or on the configuration.
var denied = map[string][]uint16{
	"access_denied": {1044, 1045, 1142, 1143, 1227, 1370, 1698, 1130, 1131, 1133, 1141, 1147, 1251, 1275, 1524, 1820, 1862, 1873,
		3118, 3159, 3955, 4151, 4150, 3879, 6126, 6127, 6444,
		1129}, // blocked after too many failed connections: FLUSH HOSTS
}
