@echo off
rem Run the job and act by its exit code. 4 means: stopped early, run it again and it resumes.
rem Task Scheduler's own "restart on failure" looks at the start of a task only, not at its exit code.
cd /d "%~dp0"
set tries_left=3
:again
bulklink run job.toml --quiet > last-night.txt 2>&1
set code=%errorlevel%
set /a tries_left-=1
if not "%code%"=="4" exit /b %code%
if %tries_left% leq 0 exit /b %code%
rem Ten minutes; `timeout` refuses to work without a console.
ping -n 601 127.0.0.1 > nul
goto again
