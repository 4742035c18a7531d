#!/bin/sh
# Looks for nginx for ever; starts it when it is gone, and gives the address up when that does not help.
while true;do
nginxpid=$(ps -C nginx --no-header|wc -l)
if [ $nginxpid -eq 0 ];then
    systemctl start nginx
    sleep 5
    nginxpid=$(ps -C nginx --no-header|wc -l)
    if [ $nginxpid -eq 0 ];then
        systemctl stop keepalived
        exit 1
   fi
fi
     sleep 5
done
