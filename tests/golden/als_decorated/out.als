us,1393675200,{"uri":"/play","message":"user 42 bought 3","_log_info":{"uid":42,"ip":"8.8.8.8","level":20},"data":{"amount":9.99,"currency":"EUR"},"_cntry":"US","_usd":1369,"level_rg":"19-23","message_norm":"user <num> bought <num>"}
fr,1393675200250,{"uri":"/pay","big":123456789012345678901234567890,"_log_info":{"ip":"10.0.0.1","level":31},"_cntry":"private","level_rg":"31+"}
